//! Where the network delivers what peers ask, and which service answers.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use tacitly_core::PartyId;

use super::message;
use crate::transport::{self, LinkError, LinkState, Pace, Pending};

/// A service that answers peers.
pub trait Handler: Send + Sync {
    /// The name under which peers ask for it.
    fn service(&self) -> &'static str;

    /// How fast one peer may ask it; beyond that its questions wait, and nobody else's.
    fn pace(&self) -> Pace {
        Pace::Usual
    }

    /// Answers a question of `from`, whose identity has been checked. Several run at a time. `None`: it cannot be
    /// answered now, or cannot be read, and the peer is to come again.
    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>>;

    /// The link with `peer` is up, or it is not, or not for the reason that it was.
    fn link_changed(self: Arc<Self>, peer: PartyId, up: bool) {
        let _ = (peer, up);
    }
}

/// Where the network delivers what peers ask. It is made before the services, which need the network, and learns of them
/// once they are there.
#[derive(Default)]
pub struct Inbox(OnceLock<Vec<Weak<dyn Handler>>>);

impl Inbox {
    /// From now on peers are answered by these services.
    pub fn open(&self, services: Vec<Arc<dyn Handler>>) {
        let _opened_before = self.0.set(services.iter().map(Arc::downgrade).collect());
    }

    fn services(&self) -> impl Iterator<Item = Arc<dyn Handler>> {
        self.0.get().into_iter().flatten().filter_map(Weak::upgrade)
    }

    fn find(&self, name: &str) -> Option<Arc<dyn Handler>> {
        self.services().find(|service| service.service() == name)
    }
}

impl transport::Inbox for Inbox {
    /// A daemon that is starting or stopping has no services: the peer comes again.
    fn pace(&self, service: &str) -> Option<Pace> {
        self.find(service).map(|service| service.pace())
    }

    fn request(&self, from: PartyId, service: &str, body: Bytes) -> Pending<'_, Bytes> {
        let service = self.find(service);
        Box::pin(async move {
            let answer = match service {
                Some(service) => service.answer(from, body).await,
                None => None,
            };
            message::encode_reply(answer)
        })
    }

    fn link_changed(&self, peer: PartyId, state: &LinkState) {
        self.services().for_each(|service| service.link_changed(peer, state.is_up()));
    }

    fn call_refused(&self, error: &LinkError) {
        // The transport has told it to whom it may concern, no more often than is good for the log.
        tracing::debug!(%error, "a call was refused");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::super::message::{Reply, decode_reply};
    use super::*;
    use crate::transport::Inbox as _;

    /// Answers with what it was asked, unless that is nothing.
    #[derive(Default)]
    struct Echo(Mutex<Vec<bool>>);

    impl Handler for Echo {
        fn service(&self) -> &'static str {
            "echo"
        }

        fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
            Box::pin(async move { (!body.is_empty()).then(|| [from.as_str().as_bytes(), &body].concat().into()) })
        }

        fn link_changed(self: Arc<Self>, _: PartyId, up: bool) {
            self.0.lock().unwrap().push(up);
        }
    }

    async fn asked(inbox: &Inbox, service: &str, question: &'static str) -> Option<Bytes> {
        let reply = inbox.request("shop".parse().unwrap(), service, question.into()).await;
        match decode_reply(reply).unwrap() {
            Reply::Body(body) => Some(body),
            Reply::Busy(_) => None,
        }
    }

    #[tokio::test]
    async fn a_question_reaches_the_service_that_it_names_and_whoever_cannot_answer_is_busy() {
        let (inbox, echo) = (Inbox::default(), Arc::new(Echo::default()));
        assert_eq!(asked(&inbox, "echo", "hello").await, None, "a daemon that starts");
        assert_eq!(inbox.pace("echo"), None);
        inbox.open(vec![echo.clone()]);
        assert_eq!(asked(&inbox, "echo", "hello").await, Some("shophello".into()));
        assert_eq!(asked(&inbox, "echo", "").await, None, "the service is busy");
        assert_eq!(asked(&inbox, "sums", "hello").await, None, "there is no such service");
        assert_eq!((inbox.pace("echo"), inbox.pace("sums")), (Some(Pace::Usual), None));
        drop(echo);
        assert_eq!(asked(&inbox, "echo", "hello").await, None, "a daemon that stops");
    }

    #[tokio::test]
    async fn services_hear_of_links_that_come_and_go() {
        let (inbox, echo) = (Inbox::default(), Arc::new(Echo::default()));
        inbox.open(vec![echo.clone()]);
        let peer = "shop".parse().unwrap();
        let reason = LinkError::ShuttingDown;
        inbox.link_changed(peer, &LinkState::Down { since: Instant::now(), reason });
        assert_eq!(*echo.0.lock().unwrap(), [false]);
    }
}
