//! The name of an SNS topic.

use std::fmt;

/// The ARN of an SNS topic: `arn:<partition>:sns:<region>:<account>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicArn {
    text: String,
    partition: String,
    region: String,
}

impl TopicArn {
    /// Reads an ARN. Its parts hold only what AWS allows there, so that a region may become a part of a host name.
    ///
    /// # Errors
    /// A fragment for people that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_word = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        match parts[..] {
            ["arn", partition, "sns", region, account, name]
                if is_word(partition)
                    && is_word(region)
                    && !account.is_empty()
                    && account.bytes().all(|byte| byte.is_ascii_digit())
                    && is_name(name) =>
            {
                Ok(Self { text: text.to_owned(), partition: partition.to_owned(), region: region.to_owned() })
            }
            _ => Err(format!(
                "`{text}` is no ARN of an SNS topic; allowed: arn:aws:sns:<region>:<account>:<name>"
            )),
        }
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The region, such as `eu-west-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What ends the host names of this part of AWS: China has its own.
    pub fn dns_suffix(&self) -> &'static str {
        if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart() {
        let topic = TopicArn::parse("arn:aws:sns:eu-west-1:123456789012:landed_1.fifo").unwrap();
        assert_eq!((topic.region(), topic.dns_suffix()), ("eu-west-1", "amazonaws.com"));
        let china = TopicArn::parse("arn:aws-cn:sns:cn-north-1:1:landed").unwrap();
        assert_eq!((china.region(), china.dns_suffix()), ("cn-north-1", "amazonaws.com.cn"));
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        let cases = [
            "",
            "landed",
            "arn:aws:sqs:eu-west-1:1:q",
            "arn:aws:sns:eu-west-1:1:",
            "arn:aws:sns::1:t",
            "arn:aws:sns:evil.example/:1:t",
            "arn:aws:sns:EU:1:t",
            "arn:aws:sns:eu-west-1:one:t",
            "arn:aws:sns:eu-west-1:1:t:11111111-2222-3333-4444-555555555555",
        ];
        for text in cases {
            assert!(TopicArn::parse(text).unwrap_err().contains("no ARN"), "{text}");
        }
    }
}
