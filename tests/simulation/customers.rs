//! What the people outside do: they upload, overwrite, delete, and forbid reading.

use chrono::TimeDelta;

use crate::documents::Content;
use crate::options::SAME_ELSEWHERE;
use crate::world::Places;

impl Places {
    fn put(&self, key: &str, content: Content) {
        let number = self.landing.put(key, content);
        self.hub.trace(|| format!("{key} lands as number {number}"));
        self.queue.announce(number);
    }

    /// A name that nothing had before.
    fn fresh_name(&self) -> usize {
        self.landing.log().len() + 1
    }

    pub(crate) fn land(&self) {
        let count = self.hub.choose(|random| 1 + random.below(4));
        for _ in 0..count {
            let key = format!("in/{}.txt", self.fresh_name());
            let content = self.hub.choose(Content::made_up);
            self.put(&key, content);
        }
    }

    /// The number of something that is in the landing now.
    fn present(&self) -> Option<usize> {
        let there: Vec<usize> = {
            let log = self.landing.log();
            (0..log.len()).filter(|number| log[*number].is_there()).collect()
        };
        let chosen = self.hub.choose(|random| random.below(there.len() as u64)) as usize;
        there.get(chosen).copied()
    }

    pub(crate) fn overwrite(&self) {
        let Some(number) = self.present() else { return };
        let (key, same) = {
            let log = self.landing.log();
            (log[number].key.clone(), log[number].content.clone())
        };
        if self.hub.strikes_at("same-content", 400) {
            self.put(&key, same);
        } else if self.hub.strikes_at("same-content", 300) {
            let other = format!("again/{}.txt", self.fresh_name());
            self.put(&other, same);
            self.hub.tell(SAME_ELSEWHERE);
        } else if self.hub.strikes_at("overwritten", 900) {
            let content = self.hub.choose(Content::made_up);
            self.put(&key, content);
        }
    }

    pub(crate) fn delete(&self) {
        let Some(number) = self.present() else { return };
        if self.hub.strikes_at("deleted", 900) {
            let mut log = self.landing.log();
            log[number].is_deleted = true;
            self.hub.trace(|| format!("{} (number {number}) is deleted", log[number].key));
        }
    }

    pub(crate) fn forbid(&self) {
        let Some(number) = self.present() else { return };
        if self.hub.strikes_at("forbidden", 900) {
            let minutes = self.hub.choose(|random| random.between(1, 120));
            let until = self.hub.now() + TimeDelta::minutes(minutes);
            self.landing.log()[number].forbidden_until = Some(until);
            self.hub.trace(|| format!("number {number} may not be read for {minutes} minutes"));
        }
    }
}
