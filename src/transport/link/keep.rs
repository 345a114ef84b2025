//! A link with the tasks that keep it, and the calls of its peer.

use std::sync::Arc;

use tacitly_core::PartyId;

use super::common::Common;
use super::connection_loop::ConnectionLoop;
use super::dialler::Dialler;
use super::greeting::Greeting;
use super::link::Link;
use crate::transport::connection::Connection;

/// A link that is down, with the tasks that keep it.
pub(crate) fn keep(peer: PartyId, common: Arc<Common>) -> Arc<Link> {
    let link = Arc::new(Link::new(peer, common));
    let (runtime, closing) = (&link.common.runtime, &link.closing);
    runtime.spawn(closing.clone().run_until_cancelled_owned(link.clone().keep_time()));
    runtime.spawn(closing.clone().run_until_cancelled_owned(Dialler(link.clone()).run()));
    runtime.spawn(closing.clone().run_until_cancelled_owned(link.clone().tell_changes()));
    link
}

/// Takes a call of the peer.
pub(crate) async fn welcome(link: Arc<Link>, connection: Connection) {
    match Greeting(&link).greet(connection).await {
        Ok(Some((connection, generation))) => ConnectionLoop::new(link, generation).run(connection).await,
        Ok(None) => {}
        Err(error) => link.failed(error),
    }
}
