//! The only addresses that are ever asked for something because a request named them. Pure.
//!
//! Hosts are compared byte by byte with the one that the configured topic's region has, so that a port, a user, another
//! spelling or another host has no way in. SNS's own hosts: `sns.<region>.amazonaws.com`, in China with `.cn`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::config::TopicArn;

/// What a file of a certificate is called: this, hexadecimal digits, `.pem`.
const CERTIFICATE_FILE: &str = "SimpleNotificationService-";
/// Amazon's authorities publish their own certificates here (`CA Issuers` of what they issue).
const ISSUERS_DOMAIN: &str = ".amazontrust.com";
/// No address of SNS is longer; a token alone has about 280 characters.
const LONGEST: usize = 2_048;

/// An address that one of the rules here has let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckedUrl(String);

impl CheckedUrl {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CheckedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of the certificate that signed a message of `topic`.
pub(super) fn of_certificate(url: &str, topic: &TopicArn) -> Result<CheckedUrl, String> {
    let path = path_at_sns(url, topic)?;
    let digits = path.strip_prefix(CERTIFICATE_FILE).and_then(|rest| rest.strip_suffix(".pem"));
    let is_name = |digits: &str| {
        (8..=128).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !digits.is_some_and(is_name) {
        return Err(format!("its path is not /{CERTIFICATE_FILE}<hexadecimal>.pem"));
    }
    Ok(CheckedUrl(url.to_owned()))
}

/// The address that confirms the subscription to `topic` which has this `token`.
pub(super) fn of_subscription(url: &str, topic: &TopicArn, token: &str) -> Result<CheckedUrl, String> {
    let query = path_at_sns(url, topic)?.strip_prefix('?').ok_or("it is not /?Action=…")?;
    let mut found = [None, None, None];
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').ok_or("its query is no list of names and values")?;
        let names = ["Action", "TopicArn", "Token"];
        let Some(place) = names.iter().position(|known| *known == name) else { continue };
        let value = percent_decode_str(value).decode_utf8().map_err(|_| "its query is no UTF-8")?;
        if found[place].replace(value.into_owned()).is_some() {
            return Err(format!("it names {name} twice"));
        }
    }
    let expected = ["ConfirmSubscription", topic.as_str(), token];
    let agrees = found.iter().zip(expected).all(|(found, expected)| found.as_deref() == Some(expected));
    if !agrees || token.is_empty() {
        return Err("it does not confirm this subscription to this topic".to_owned());
    }
    Ok(CheckedUrl(url.to_owned()))
}

/// The address at which an authority of Amazon's publishes its own certificate. Plain HTTP is what such addresses use:
/// what comes from there is believed only if a root that is trusted here has signed it.
pub(super) fn of_issuer(url: &str) -> Option<CheckedUrl> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let is_label =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    let is_file = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let is_ours = host.ends_with(ISSUERS_DOMAIN) && host.bytes().all(is_label) && url.len() <= LONGEST;
    (is_ours && path.ends_with(".cer") && path.bytes().all(is_file)).then(|| CheckedUrl(url.to_owned()))
}

/// What follows `https://<the topic's SNS host>/`.
fn path_at_sns<'a>(url: &'a str, topic: &TopicArn) -> Result<&'a str, String> {
    if url.len() > LONGEST || !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['#', '\\']) {
        return Err("it is no plain address".to_owned());
    }
    let rest = url.strip_prefix("https://").ok_or("it is not https")?;
    let (host, path) = rest.split_once('/').ok_or("it has no path")?;
    let expected = format!("sns.{}.{}", topic.region(), topic.dns_suffix());
    if host != expected {
        return Err(format!("its host is not {expected}, the topic's own"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:eu-west-1:123456789012:landed";
    const TOKEN: &str = "2336412f37fb687f";

    fn topic() -> TopicArn {
        TopicArn::parse(ARN).unwrap()
    }

    #[test]
    fn certificates_come_from_the_topics_own_host() {
        let good = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
        assert_eq!(of_certificate(good, &topic()).unwrap().as_str(), good);
        let china = TopicArn::parse("arn:aws-cn:sns:cn-north-1:1:t").unwrap();
        let theirs = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123456789abcdef.pem";
        assert!(of_certificate(theirs, &china).is_ok());
        let file = "SimpleNotificationService-0123456789abcdef.pem";
        let bad = [
            format!("http://sns.eu-west-1.amazonaws.com/{file}"),
            format!("HTTPS://sns.eu-west-1.amazonaws.com/{file}"),
            format!("https://sns.us-east-1.amazonaws.com/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com.cn/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com.evil.example/{file}"),
            format!("https://evil.example/{file}"),
            format!("https://SNS.eu-west-1.amazonaws.com/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com:443/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com:8443/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com@evil.example/{file}"),
            format!("https://user@sns.eu-west-1.amazonaws.com/{file}"),
            format!("https://169.254.169.254/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com\\@evil.example/{file}"),
            format!("https://sns.eu-west-1.amazonaws.com/../{file}"),
            format!("https://sns.eu-west-1.amazonaws.com//{file}"),
            format!("https://sns.eu-west-1.amazonaws.com/{file}?x=1"),
            format!("https://sns.eu-west-1.amazonaws.com/{file}#x"),
            format!("https://sns.eu-west-1.amazonaws.com/{file}\n"),
            format!(" https://sns.eu-west-1.amazonaws.com/{file}"),
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-xyzxyzxyzxyz.pem".to_owned(),
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-.pem".to_owned(),
            "https://sns.eu-west-1.amazonaws.com/other.pem".to_owned(),
            "https://sns.eu-west-1.amazonaws.com".to_owned(),
            String::new(),
        ];
        for url in bad {
            assert!(of_certificate(&url, &topic()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_subscription_is_confirmed_at_the_topics_own_host() {
        let host = "https://sns.eu-west-1.amazonaws.com";
        let good = [
            format!("{host}/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"),
            format!("{host}/?Token={TOKEN}&Action=ConfirmSubscription&TopicArn={}", ARN.replace(':', "%3A")),
        ];
        for url in good {
            assert!(of_subscription(&url, &topic(), TOKEN).is_ok(), "{url}");
        }
        let bad = [
            format!(
                "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"
            ),
            format!("https://evil.example/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"),
            format!("{host}:444/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"),
            format!("{host}/?Action=Unsubscribe&TopicArn={ARN}&Token={TOKEN}"),
            format!("{host}/?Action=ConfirmSubscription&TopicArn={ARN}x&Token={TOKEN}"),
            format!("{host}/?Action=ConfirmSubscription&TopicArn={ARN}&Token=other"),
            format!("{host}/?Action=ConfirmSubscription&Action=DeleteTopic&TopicArn={ARN}&Token={TOKEN}"),
            format!("{host}/?Action=ConfirmSubscription&TopicArn={ARN}"),
            format!("{host}/x?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"),
        ];
        for url in bad {
            assert!(of_subscription(&url, &topic(), TOKEN).is_err(), "{url}");
        }
        let empty = format!("{host}/?Action=ConfirmSubscription&TopicArn={ARN}&Token=");
        assert!(of_subscription(&empty, &topic(), "").is_err());
    }

    #[test]
    fn issuers_are_amazons_own() {
        assert!(of_issuer("http://crt.r2m01.amazontrust.com/r2m01.cer").is_some());
        for url in [
            "http://169.254.169.254/latest/meta-data.cer",
            "http://amazontrust.com.evil.example/x.cer",
            "http://evil.example/.amazontrust.com/x.cer",
            "http://user@crt.amazontrust.com/x.cer",
            "http://crt.amazontrust.com:81/x.cer",
            "https://crt.r2m01.amazontrust.com/r2m01.cer",
            "http://crt.r2m01.amazontrust.com/a/b.cer",
            "http://crt.r2m01.amazontrust.com/r2m01.cer?x",
        ] {
            assert_eq!(of_issuer(url), None, "{url}");
        }
    }
}
