//! Our lines with the other members of a job: what we send goes out piece by piece through the leader, and what comes
//! through the leader is checked before it counts.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tacitly_core::PartyId;
use tokio::io::{AsyncReadExt as _, AsyncWrite, DuplexStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::circle::{ADDRESS, Circle, Finding, ORDER, RECORD, SIGNATURE};
use super::line::{Line, Taken};
use super::message::{LineId, MAX_BODY, Outcome, Piece, Place, decode_outcome};
use super::post::Post;
use super::seal::{self, End};
use crate::store::Signer;
use crate::transport::{Connection, LinkError, PeerDirectory as _, Roster, over_stream};

/// The most pieces of ours that are under way to the leader, of all lines of an attempt.
const MOST_UNDER_WAY: usize = 8;
/// The most lines that one other member has with us.
const MOST_LINES: usize = 4;
/// Connections that wait to be accepted.
const MOST_ARRIVALS: usize = 16;
/// How long a piece is offered to the leader until its line is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long both ends may take to prove who they are.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a piece may still be offered of a line that we have let go of.
const LAST_PIECE: Duration = Duration::from_secs(3);
/// The pause before a piece is offered again for which there was no room.
const NO_ROOM: Duration = Duration::from_millis(20);
/// The pause before a piece is offered again whose receiver, or the leader, is away.
const AWAY: Duration = Duration::from_millis(200);

/// One member of an attempt, with its lines to the others.
pub(super) struct Member {
    me: PartyId,
    circle: Circle,
    signer: Arc<dyn Signer>,
    post: Arc<dyn Post>,
    finding: Arc<Finding>,
    /// Those with whom we want to speak.
    expected: Arc<Roster>,
    lines: Mutex<BTreeMap<(PartyId, LineId), Arc<Line>>>,
    arrived: mpsc::Sender<Connection>,
    arrivals: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
    under_way: Semaphore,
    /// Ends what is left.
    pub(super) closing: CancellationToken,
}

impl Member {
    pub(super) fn new(
        me: PartyId,
        circle: Circle,
        signer: Arc<dyn Signer>,
        post: Arc<dyn Post>,
        finding: Arc<Finding>,
    ) -> Self {
        let (arrived, arrivals) = mpsc::channel(MOST_ARRIVALS);
        Self {
            me,
            circle,
            signer,
            post,
            finding,
            expected: Arc::default(),
            lines: Mutex::default(),
            arrived,
            arrivals: tokio::sync::Mutex::new(arrivals),
            under_way: Semaphore::new(MOST_UNDER_WAY),
            closing: CancellationToken::new(),
        }
    }

    pub(super) fn me(&self) -> PartyId {
        self.me
    }

    pub(super) fn leader(&self) -> PartyId {
        self.circle.leader
    }

    /// Those with whom we want to speak; lines of others are not taken yet.
    pub(super) fn expected(&self) -> &Arc<Roster> {
        &self.expected
    }

    /// Whether this is another member.
    pub(super) fn is_fellow(&self, party: PartyId) -> bool {
        party != self.me && party != self.circle.leader && self.circle.keys.contains_key(&party)
    }

    /// Opens a line with another member and the channel in it.
    pub(super) async fn dial(self: &Arc<Self>, peer: PartyId) -> Result<Connection, LinkError> {
        let leader = self.circle.leader;
        let failed = |detail: &dyn std::fmt::Display| LinkError::Unreachable {
            peer,
            address: format!("its line through {leader}"),
            detail: detail.to_string(),
        };
        if !self.post.reaches(leader) {
            return Err(failed(&format!("the link with {leader} is down")));
        }
        let id = LineId::fresh().ok_or_else(|| failed(&"the system gives no randomness"))?;
        let end = self.end(id, (self.me, peer), peer).ok_or(LinkError::UnknownPeer { peer })?;
        let connector = TlsConnector::from(end.dialling().map_err(|error| failed(&error))?);
        let (line, incoming) = Line::new();
        let stream = self.begin(peer, id, true, Arc::new(line), incoming);
        let channel = timeout(HANDSHAKE, connector.connect(seal::name(), stream)).await;
        let channel =
            channel.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| failed(&error))?;
        Ok(self.connection(channel, peer, self.me))
    }

    /// The next channel that another member has opened; `None` once closed.
    pub(super) async fn accept(&self) -> Option<Connection> {
        let mut arrivals = self.arrivals.lock().await;
        self.closing.run_until_cancelled(arrivals.recv()).await.flatten()
    }

    /// The leader brings a piece.
    pub(super) fn receive(self: &Arc<Self>, piece: Piece) -> Outcome {
        let Place { from, to, line: id, opens, number, .. } = piece.place;
        // Whatever is wrong with a piece from here on, an honest leader would have refused it.
        let key = self.circle.keys.get(&from).filter(|_| to == self.me && self.is_fellow(from));
        let Some(key) = key else { return self.accuse_leader(ADDRESS) };
        if !piece.is_signed_by(key) {
            return self.accuse_leader(SIGNATURE);
        }
        let mut lines = self.lines();
        if let Some(line) = lines.get(&(from, id)) {
            return match line.take(number, piece.body) {
                Taken::Yes => Outcome::Taken,
                Taken::Full => Outcome::Later,
                Taken::Gone => Outcome::Gone,
                Taken::Gap => self.accuse_leader(ORDER),
            };
        }
        if !opens || self.closing.is_cancelled() {
            return Outcome::Gone;
        }
        let open = lines.keys().filter(|(party, _)| *party == from).count();
        if open >= MOST_LINES || !self.expected.peers().contains(&from) {
            return Outcome::Later;
        }
        let (line, incoming) = Line::new();
        line.take(number, piece.body);
        let line = Arc::new(line);
        lines.insert((from, id), line.clone());
        drop(lines);
        let stream = self.begin(from, id, false, line, incoming);
        tokio::spawn(self.closing.clone().run_until_cancelled_owned(self.clone().welcome(from, id, stream)));
        Outcome::Taken
    }

    /// Proves who we are to whoever has opened a line, and has it prove who it is.
    async fn welcome(self: Arc<Self>, peer: PartyId, id: LineId, stream: Stream) {
        let Some(end) = self.end(id, (peer, self.me), peer) else { return };
        let accepted = match end.accepting() {
            Ok(config) => timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await,
            Err(error) => Ok(Err(io::Error::other(error))),
        };
        match accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(channel) => {
                let connection = self.connection(channel, peer, peer);
                // Nobody accepts any more once the attempt is over.
                let _ = self.arrived.send(connection).await;
            }
            // Also an old line that a leader has repeated, so nobody is named.
            Err(error) => tracing::debug!(%peer, leader = %self.circle.leader, %error, "a line came to nothing"),
        }
    }

    fn end(&self, line: LineId, ends: (PartyId, PartyId), peer: PartyId) -> Option<End<'_>> {
        let key = *self.circle.keys.get(&peer)?;
        Some(End { circle: &self.circle, line, ends, signer: self.signer.clone(), key })
    }

    /// Begins to move bytes on a line.
    fn begin(
        self: &Arc<Self>,
        peer: PartyId,
        id: LineId,
        opens: bool,
        line: Arc<Line>,
        incoming: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Stream {
        let (ours, outgoing) = tokio::io::duplex(MAX_BODY);
        self.lines().insert((peer, id), line.clone());
        let (this, let_go) = (self.clone(), CancellationToken::new());
        let held = let_go.clone().drop_guard();
        tokio::spawn(async move {
            let abandoned = async {
                let_go.cancelled().await;
                sleep(LAST_PIECE).await;
            };
            tokio::select! {
                sent = this.send_all(peer, id, opens, outgoing) => if let Err(why) = sent {
                    line.fail(why);
                },
                () = abandoned => {}
            }
            this.lines().remove(&(peer, id));
        });
        let incoming: Incoming = Box::pin(ReceiverStream::new(incoming).map(move |bytes| {
            // Whoever drops the stream lets go of the line.
            let _held = &held;
            bytes
        }));
        tokio::io::join(StreamReader::new(incoming), ours)
    }

    /// Sends what is written into a line, until it is let go of.
    async fn send_all(&self, to: PartyId, line: LineId, opens: bool, mut outgoing: DuplexStream) -> Result<(), String> {
        let Circle { job, attempt, .. } = self.circle;
        let mut bytes = BytesMut::new();
        for number in 0.. {
            bytes.reserve(MAX_BODY);
            let read = outgoing.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
            if read == 0 && number == 0 {
                break;
            }
            let place = Place { job, attempt, from: self.me, to, line, opens: opens && number == 0, number };
            let piece = Piece::sign(place, bytes.split().freeze(), &*self.signer).map_err(|error| error.to_string())?;
            self.carry(to, piece.encode()).await?;
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Offers a piece to the leader until it is taken at the other end.
    async fn carry(&self, to: PartyId, piece: Bytes) -> Result<(), String> {
        let leader = self.circle.leader;
        let until = Instant::now() + PATIENCE;
        loop {
            let outcome = {
                let _place = self.under_way.acquire().await.map_err(|error| error.to_string())?;
                self.post.put(leader, piece.clone()).await.and_then(decode_outcome)
            };
            let (pause, why) = match outcome {
                Some(Outcome::Taken) => return Ok(()),
                Some(Outcome::Gone) => return Err(format!("{leader} says that {to} has let go of the line")),
                Some(Outcome::Later) => (NO_ROOM, format!("{leader} says that {to} takes nothing")),
                Some(Outcome::Away) => (AWAY, format!("{leader} says that it has no link with {to}")),
                Some(Outcome::Unspecified) | None => (AWAY, format!("{leader} brings nothing to {to}")),
            };
            if Instant::now() >= until {
                return Err(format!("{why}, for {} s", PATIENCE.as_secs()));
            }
            sleep(pause).await;
        }
    }

    /// The connection in an open channel.
    fn connection<S>(&self, channel: S, peer: PartyId, dialler: PartyId) -> Connection
    where
        S: tokio::io::AsyncRead + AsyncWrite + Send + 'static,
    {
        let finding = self.finding.clone();
        let explain = move |error: &io::Error| {
            if seal::is_violation(error) {
                // The channel was fresh, the piece is signed by its origin and in its place: the leader has no part in it.
                finding.accuse(peer, RECORD);
                return LinkError::Violation { peer, rule: RECORD };
            }
            LinkError::Broken { peer, detail: error.to_string() }
        };
        over_stream(channel, (peer, dialler), &self.closing.child_token(), explain)
    }

    fn accuse_leader(&self, rule: &'static str) -> Outcome {
        self.finding.accuse(self.circle.leader, rule);
        Outcome::Gone
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<(PartyId, LineId), Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes in on a line.
type Incoming = Pin<Box<dyn tokio_stream::Stream<Item = io::Result<Bytes>> + Send>>;
/// The bytes of a line in both directions.
type Stream = tokio::io::Join<StreamReader<Incoming, Bytes>, DuplexStream>;
