//! Queues that take turns, so that what waits for one service keeps nobody else waiting.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

/// A queue for each service for which something waits.
#[derive(Debug)]
pub(super) struct Turns<T> {
    queues: BTreeMap<String, VecDeque<T>>,
    /// Whose turn was the last.
    last: String,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), last: String::new() }
    }
}

impl<T> Turns<T> {
    pub(super) fn push(&mut self, service: &str, item: T) {
        match self.queues.get_mut(service) {
            Some(queue) => queue.push_back(item),
            None => {
                self.queues.insert(service.to_owned(), VecDeque::from([item]));
            }
        }
    }

    /// The oldest item of the service whose turn it is, and which service that is.
    pub(super) fn pop(&mut self) -> Option<(String, T)> {
        let after = self.queues.range_mut::<str, _>((Excluded(self.last.as_str()), Unbounded)).next();
        let service = match after {
            Some((service, _)) => service.clone(),
            None => self.queues.keys().next()?.clone(),
        };
        let queue = self.queues.get_mut(&service)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&service);
        }
        self.last.clone_from(&service);
        Some((service, item))
    }

    /// Keeps only what `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.queues.retain(|_, queue| {
            queue.retain(&keep);
            !queue.is_empty()
        });
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
    }

    pub(super) fn len_of(&self, service: &str) -> usize {
        self.queues.get(service).map_or(0, VecDeque::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_for_which_much_waits_has_one_turn_like_the_others() {
        let mut turns = Turns::default();
        (0..3).for_each(|number| turns.push("a", number));
        turns.push("b", 10);
        (20..22).for_each(|number| turns.push("c", number));
        turns.retain(|number| *number != 1);
        assert_eq!((turns.len_of("a"), turns.len_of("x")), (2, 0));
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).map(|(_, number)| number).collect();
        assert_eq!(order, [0, 10, 20, 2, 21]);
        assert!(turns.is_empty());
    }
}
