//! The names that IAM policies give to things.

/// The first part of every name in a region (the AWS general reference, partitions).
pub(super) fn partition(region: &str) -> &'static str {
    match region {
        china if china.starts_with("cn-") => "aws-cn",
        government if government.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// A bucket.
pub(super) fn bucket(region: &str, bucket: &str) -> String {
    format!("arn:{}:s3:::{bucket}", partition(region))
}

/// Everything under a prefix that is empty or ends in a slash.
pub(super) fn objects(region: &str, bucket: &str, root: &str) -> String {
    format!("arn:{}:s3:::{bucket}/{root}*", partition(region))
}

/// The account and the name in a queue's URL: `https://host/account/name`.
pub(super) fn of_queue_url(url: &str) -> Option<(&str, &str)> {
    let mut parts = url.rsplit('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let account = parts.next().filter(|account| account.chars().all(|c| c.is_ascii_digit()))?;
    Some((account, name)).filter(|(account, _)| !account.is_empty())
}

/// The region in a queue's URL: `https://sqs.region.amazonaws.com/…`.
pub(super) fn region_of_queue_url(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    let mut labels = host.split('.');
    (labels.next() == Some("sqs")).then_some(())?;
    let region = labels.next()?;
    (labels.next() == Some("amazonaws")).then_some(region)
}

/// A queue; any where the URL is not of the usual form.
pub(super) fn queue(region: &str, url: &str) -> String {
    let region = region_of_queue_url(url).unwrap_or(region);
    match of_queue_url(url) {
        Some((account, name)) => format!("arn:{}:sqs:{region}:{account}:{name}", partition(region)),
        None => format!("arn:{}:sqs:{region}:*:*", partition(region)),
    }
}

/// Something of Glue or Athena whose account is not known here.
pub(super) fn of_service(service: &str, region: &str, resource: &str) -> String {
    format!("arn:{}:{service}:{region}:*:{resource}", partition(region))
}

/// `s3://bucket/prefix` in its parts; the prefix is empty or ends in a slash.
pub(super) fn s3_location(text: &str) -> Option<(&str, String)> {
    let rest = text.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    (!bucket.is_empty()).then_some((bucket, root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_url_tells_its_name() {
        let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/landed";
        assert_eq!(queue("us-east-1", url), "arn:aws:sqs:eu-west-1:111122223333:landed");
        let local = "http://127.0.0.1:4566/000000000000/landed";
        assert_eq!(queue("eu-west-1", local), "arn:aws:sqs:eu-west-1:000000000000:landed");
        assert_eq!(queue("cn-north-1", "nonsense"), "arn:aws-cn:sqs:cn-north-1:*:*");
    }

    #[test]
    fn a_location_has_a_bucket_and_a_root() {
        assert_eq!(s3_location("s3://b/p/q/"), Some(("b", "p/q/".to_owned())));
        assert_eq!(s3_location("s3://b"), Some(("b", String::new())));
        assert_eq!(s3_location("/folder"), None);
    }
}
