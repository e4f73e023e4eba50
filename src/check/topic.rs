//! The SNS topic. Sluicegate asks SNS nothing, so only its name can be looked at.

use super::finding::Finding;

/// Looks at the name of the topic, as far as it tells something.
pub fn topic(arn: &str, region: &str) -> Finding {
    const WHAT: &str = "topic";
    const TODO: &str = "correct SLUICEGATE_TOPIC: arn:aws:sns:region:account:name";
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sns", of_region, account, name] = parts[..] else {
        return Finding::wrong(WHAT, format!("{arn} is no name of a topic"), TODO);
    };
    let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    if !partition.starts_with("aws") || !is_account || of_region.is_empty() || name.is_empty() {
        return Finding::wrong(WHAT, format!("{arn} is no name of a topic"), TODO);
    }
    if name.ends_with(".fifo") {
        return Finding::wrong(WHAT, format!("{arn} is a FIFO topic, and S3 sends to none"), TODO);
    }
    if of_region != region {
        let found = format!("{arn} is in {of_region}, and requests are signed for {region}");
        return Finding::note(
            WHAT,
            found,
            "a bucket sends to topics of its own region only: are both right?",
        );
    }
    Finding::ok(WHAT, format!("{arn}; its policy and its subscriptions are not looked at"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_name_is_looked_at() {
        for (arn, level) in [
            ("arn:aws:sns:eu-west-1:111122223333:landed", Level::Ok),
            ("arn:aws:sns:eu-west-2:111122223333:landed", Level::Note),
            ("arn:aws:sns:eu-west-1:111122223333:landed.fifo", Level::Wrong),
            ("arn:aws:sqs:eu-west-1:111122223333:landed", Level::Wrong),
            ("arn:aws:sns:eu-west-1:me:landed", Level::Wrong),
            ("landed", Level::Wrong),
        ] {
            assert_eq!(topic(arn, "eu-west-1").level, level, "{arn}");
        }
    }
}
