//! The real network: HTTP/2 over pinned TLS, one port, dialled by either side.

mod dial;
mod listen;
mod proxy;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tacitly_core::PartyId;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::connection::{Connection, Pending, Transport};
use super::directory::PeerDirectory;
use super::enrolment::{self, Application, EnrolError, Enroller, Inviter, Welcome};
use super::error::LinkError;
use super::generated as pb;
use super::identity::{IdentityError, Pin, TlsIdentity};
use super::settings::Settings;
use super::wire;
use dial::Target;

/// Envelopes that wait between a link and its HTTP/2 stream: enough to keep it busy, few enough that what is urgent
/// soon gets its turn.
const QUEUE: usize = 2;

/// Receive windows of HTTP/2. They bound memory per connection, and speed by window over round-trip time.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 9 << 20;
const HTTP2_FRAME: u32 = 256 << 10;

/// The transport over TCP, TLS 1.3 and gRPC. A clone is the same transport.
#[derive(Clone)]
pub struct Grpc {
    shared: Arc<Shared>,
}

type Arrival = Result<Connection, LinkError>;

struct Shared {
    me: PartyId,
    identity: RwLock<Arc<TlsIdentity>>,
    directory: Arc<dyn PeerDirectory>,
    enroller: Option<Arc<dyn Enroller>>,
    settings: Settings,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
    arrived: mpsc::Sender<Arrival>,
    closing: CancellationToken,
}

impl Grpc {
    /// A transport that shows `identity`, knows the peers of `directory`, and lets `enroller` decide on strangers
    /// (without one, nobody enrols).
    #[must_use]
    pub fn new(
        identity: TlsIdentity,
        directory: Arc<dyn PeerDirectory>,
        enroller: Option<Arc<dyn Enroller>>,
        settings: Settings,
    ) -> Self {
        let (arrived, arrivals) = mpsc::channel(16);
        Self {
            shared: Arc::new(Shared {
                me: identity.party(),
                identity: RwLock::new(Arc::new(identity)),
                directory,
                enroller,
                settings,
                arrivals: Mutex::new(arrivals),
                arrived,
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Takes calls on `address` until closed, and returns the address in use (its port, if 0 was asked for).
    ///
    /// # Errors
    /// What the system says when the address cannot be listened on.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        listen::listen(self.shared.clone(), address).await
    }

    /// The certificate shown at present.
    #[must_use]
    pub fn identity(&self) -> Arc<TlsIdentity> {
        self.shared.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows another certificate from the next connection on; connections that are up stay up.
    ///
    /// # Errors
    /// [`IdentityError::OtherParty`] if it is not this party's.
    pub fn replace_identity(&self, identity: TlsIdentity) -> Result<(), IdentityError> {
        let (ours, found) = (self.shared.me, identity.party());
        if found != ours {
            return Err(IdentityError::OtherParty { ours, found });
        }
        *self.shared.identity.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
        Ok(())
    }

    /// Answers an invitation: dials the inviter, which need not know our key yet, and hands `application` in.
    ///
    /// # Errors
    /// [`EnrolError`]
    pub async fn enrol(&self, inviter: &Inviter, application: Application) -> Result<Welcome, EnrolError> {
        let party = inviter.party;
        let target =
            Target { party, address: inviter.address.clone(), proxy: inviter.proxy.clone(), pins: vec![inviter.pin] };
        let exchange = async {
            let mut line = dial::dial(&self.shared.identity(), &target, &self.shared.closing).await?;
            let answer = line.client.enrol(enrolment::application_to_wire(application)).await;
            let reply = answer.map_err(|status| broken(party, &status))?.into_inner();
            enrolment::answer_from_wire(party, reply)
        };
        let window = self.shared.settings.greeting_window;
        timeout(window, exchange).await.map_err(|_| LinkError::TimedOut { peer: party, after: window })?
    }
}

impl Shared {
    fn identity(&self) -> Arc<TlsIdentity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn dial(&self, peer: PartyId) -> Result<Connection, LinkError> {
        let pins = self.directory.pins(peer);
        if pins.is_empty() {
            return Err(LinkError::UnknownPeer { peer });
        }
        let address = self.directory.address(peer).ok_or(LinkError::NoAddress { peer })?;
        let target = Target { party: peer, address, proxy: self.directory.proxy(peer), pins };
        let window = self.settings.greeting_window;
        let detail = format!("no connection within {} s", window.as_secs_f32());
        let dialled = timeout(window, self.open(&target)).await;
        dialled.unwrap_or(Err(LinkError::Unreachable { peer, address: target.address, detail }))
    }

    async fn open(&self, target: &Target) -> Result<Connection, LinkError> {
        let peer = target.party;
        let mut line = dial::dial(&self.identity(), target, &self.closing).await?;
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let calls = ReceiverStream::new(queue).map(wire::to_wire);
        let answers = line.client.open(calls).await.map_err(|status| broken(peer, &status))?.into_inner();
        // The client is kept with the stream: its connection lives as long as the stream is read.
        let client = line.client;
        let incoming = answers.map(move |item| {
            let _ = &client;
            received(peer, item)
        });
        Ok(Connection {
            peer,
            dialler: self.me,
            pin: Some(line.pin),
            outgoing,
            incoming: Box::pin(incoming),
            pulse: line.pulse,
            cut: line.cut,
        })
    }
}

impl Transport for Grpc {
    fn me(&self) -> PartyId {
        self.shared.me
    }

    fn can_dial(&self, peer: PartyId) -> bool {
        self.shared.directory.address(peer).is_some()
    }

    fn dial(&self, peer: PartyId) -> Pending<'_, Result<Connection, LinkError>> {
        Box::pin(self.shared.dial(peer))
    }

    fn accept(&self) -> Pending<'_, Option<Arrival>> {
        Box::pin(async {
            let mut arrivals = self.shared.arrivals.lock().await;
            self.shared.closing.run_until_cancelled(arrivals.recv()).await.flatten()
        })
    }

    fn still_admits(&self, peer: PartyId, pin: Option<Pin>) -> bool {
        pin.is_some_and(|pin| self.shared.directory.pins(peer).contains(&pin))
    }

    fn close(&self) {
        self.shared.closing.cancel();
    }
}

/// An item of a gRPC stream as an envelope.
fn received(peer: PartyId, item: Result<pb::Envelope, Status>) -> Result<super::envelope::Envelope, LinkError> {
    item.map_err(|status| broken(peer, &status))
        .and_then(|envelope| wire::from_wire(envelope).map_err(|rule| LinkError::Violation { peer, rule }))
}

/// A gRPC status as what it means for the link.
fn broken(peer: PartyId, status: &Status) -> LinkError {
    match status.code() {
        Code::OutOfRange => LinkError::Violation { peer, rule: "envelope-size" },
        _ => LinkError::Broken { peer, detail: in_one_line(status) },
    }
}

/// The innermost cause is what a person can act on; the layers above it only say that there was one.
fn in_one_line(status: &Status) -> String {
    let first = std::error::Error::source(status);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    let ended = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    let text = match causes.clone().last() {
        _ if causes.any(ended) => "it ended without a word, as when a process is killed".to_owned(),
        Some(cause) => cause.to_string(),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Streams of envelopes as gRPC sends them from the accepting side.
type Answers = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::Envelope, Status>> + Send>>;

/// What a daemon answers to the calls on its exchange port.
struct Service {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl pb::exchange_server::Exchange for Service {
    type OpenStream = Answers;

    async fn open(&self, request: tonic::Request<Streaming<pb::Envelope>>) -> Result<tonic::Response<Answers>, Status> {
        let visitor = stream::Visitor::of(&request)?;
        let peer = visitor.caller.party;
        if !visitor.caller.known {
            return Err(Status::permission_denied("enrol first"));
        }
        if !visitor.open() {
            return Err(Status::failed_precondition("one stream per connection"));
        }
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let connection = Connection {
            peer,
            dialler: peer,
            pin: Some(visitor.caller.pin),
            outgoing,
            incoming: Box::pin(request.into_inner().map(move |item| received(peer, item))),
            pulse: visitor.pulse,
            cut: visitor.cut.drop_guard(),
        };
        self.shared.arrived.send(Ok(connection)).await.map_err(|_| Status::unavailable("shutting down"))?;
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(queue).map(|envelope| Ok(wire::to_wire(envelope))))))
    }

    async fn enrol(
        &self,
        request: tonic::Request<pb::EnrolRequest>,
    ) -> Result<tonic::Response<pb::EnrolReply>, Status> {
        let visitor = stream::Visitor::of(&request)?;
        let enroller = self.shared.enroller.as_ref().filter(|_| self.shared.directory.admits_strangers());
        let enroller = enroller.ok_or_else(|| Status::permission_denied("no invitation is open"))?;
        let application = enrolment::application_from_wire(request.into_inner())
            .ok_or_else(|| Status::invalid_argument("the application is out of bounds"))?;
        let answer = enroller.enrol(visitor.caller.party, visitor.caller.pin, application).await;
        tracing::info!(party = %visitor.caller.party, pin = %visitor.caller.pin, accepted = answer.is_ok(), "enrolment");
        Ok(tonic::Response::new(enrolment::answer_to_wire(answer)))
    }
}
