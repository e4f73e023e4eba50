//! Questions to SNS.

use std::collections::BTreeMap;

use super::super::failure::code;
use super::AwsAccount;
use crate::ports::account::Asked;

impl AwsAccount {
    pub(super) fn topic_attributes(&self, arn: &str) -> Asked<BTreeMap<String, String>> {
        let doing = format!("looking at the topic {arn}");
        match self.clients.block_on(self.clients.sns().get_topic_attributes().topic_arn(arn).send()) {
            Ok(answer) => Asked::Told(answer.attributes.unwrap_or_default().into_iter().collect()),
            Err(error) if code(&error) == Some("NotFound") => {
                Asked::Absent(format!("{doing}: it is not there"))
            }
            Err(error) => self.answer(&doing, &error),
        }
    }
}
