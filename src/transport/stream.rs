//! A connection over any byte stream with a party that has proved who it is: envelopes, each with its length before it.
//! It has the stream of sessions only; whoever asks something over it waits for an answer in vain.

use std::io;

use bytes::{Buf as _, BufMut as _, BytesMut};
use prost::Message as _;
use tacitly_core::PartyId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, LastSeen};
use super::envelope::Envelope;
use super::error::LinkError;
use super::generated as pb;
use super::streams::{Incoming, Outgoing, Senders, Which, outgoing};
use super::wire::{MAX_ENVELOPE, Rule, from_wire, to_wire};

/// Envelopes that wait to be heard.
const QUEUE: usize = 2;
/// Bytes that are asked of the stream at a time.
const GULP: usize = 16 << 10;
/// Bytes before an envelope: its length, most significant first.
const LENGTH: usize = 4;

/// The connection with `peer`, which `dialler` of the two has dialled, over `stream`. It ends when `cut` is cancelled, and
/// dropping it cancels `cut`. `explain` says what an error of the stream means.
pub(crate) fn over_stream<S>(
    stream: S,
    (peer, dialler): (PartyId, PartyId),
    cut: &CancellationToken,
    explain: impl FnOnce(&io::Error) -> LinkError + Send + 'static,
) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let (sessions, to_send) = outgoing();
    let (requests, _) = outgoing();
    let (received, incoming) = mpsc::channel(QUEUE);
    let last_seen = LastSeen::new();
    let heard = last_seen.clone();
    tokio::spawn(cut.clone().run_until_cancelled_owned(write(writer, to_send)));
    tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
        let why = match read(reader, &heard, &received).await {
            Ok(()) => return,
            Err(Unreadable::Rule(rule)) => LinkError::Violation { peer, rule },
            Err(Unreadable::Stream(error)) => explain(&error),
        };
        // Nobody may be listening any more.
        let _ = received.send(Err(why)).await;
    }));
    Connection {
        peer,
        dialler,
        pin: None,
        outgoing: Senders { sessions, requests },
        incoming: Incoming::new(Box::pin(ReceiverStream::new(incoming)), Box::pin(tokio_stream::pending())),
        last_seen,
        cut: cut.clone().drop_guard(),
    }
}

/// Sends envelopes until there are no more, and ends the stream in order.
async fn write<S: AsyncWrite + Unpin>(mut stream: S, mut to_send: Outgoing) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    while let Some(envelope) = to_send.next().await {
        let envelope = to_wire(envelope);
        bytes.clear();
        bytes.put_u32(u32::try_from(envelope.encoded_len()).map_err(io::Error::other)?);
        envelope.encode(&mut bytes).map_err(io::Error::other)?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// Why nothing more can be read.
enum Unreadable {
    Rule(Rule),
    Stream(io::Error),
}

/// Reads envelopes until the other side ends the stream, or nobody listens any more.
async fn read<S: AsyncRead + Unpin>(
    mut stream: S,
    heard: &LastSeen,
    received: &mpsc::Sender<Result<Envelope, LinkError>>,
) -> Result<(), Unreadable> {
    let mut bytes = BytesMut::new();
    loop {
        while let Some(envelope) = take(&mut bytes).map_err(Unreadable::Rule)? {
            if received.send(Ok(envelope)).await.is_err() {
                return Ok(());
            }
        }
        bytes.reserve(GULP);
        match stream.read_buf(&mut bytes).await.map_err(Unreadable::Stream)? {
            0 if bytes.is_empty() => return Ok(()),
            0 => return Err(Unreadable::Stream(io::ErrorKind::UnexpectedEof.into())),
            _ => heard.beat(),
        }
    }
}

/// Takes the next envelope off the bytes, once it is whole.
fn take(bytes: &mut BytesMut) -> Result<Option<Envelope>, Rule> {
    let Some(length) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_ENVELOPE {
        return Err("envelope-size");
    }
    if bytes.len() < LENGTH + length {
        return Ok(None);
    }
    bytes.advance(LENGTH);
    let envelope = pb::Envelope::decode(bytes.split_to(length).freeze()).map_err(|_| "envelope-encoding")?;
    match from_wire(envelope)? {
        envelope if Which::of(&envelope) == Which::Sessions => Ok(Some(envelope)),
        _ => Err("request-stream"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tacitly_core::{Frame, SessionTag};

    use super::*;
    use crate::transport::CloseReason;

    fn ends() -> (Connection, Connection) {
        let (one, other) = tokio::io::duplex(100);
        let [bank, shop]: [PartyId; 2] = ["bank", "shop"].map(|name| name.parse().unwrap());
        let broken = |peer| move |error: &io::Error| LinkError::Broken { peer, detail: error.to_string() };
        let cut = CancellationToken::new();
        let one = over_stream(one, (shop, bank), &cut.child_token(), broken(shop));
        (one, over_stream(other, (bank, bank), &cut.child_token(), broken(bank)))
    }

    #[tokio::test]
    async fn envelopes_larger_than_the_pipe_arrive_in_order_and_so_does_a_farewell() {
        let (mut bank, mut shop) = ends();
        let frame = Frame { session: SessionTag([7; 16]), sequence: 3, body: Bytes::from(vec![9; 5_000]) };
        let sent = [Envelope::SessionFrame { channel: 1, frame, consumed: 0 }, Envelope::Heartbeat];
        for envelope in &sent {
            bank.send(envelope.clone()).await.unwrap();
        }
        for envelope in sent {
            assert_eq!(shop.receive().await, Ok(envelope));
        }
        let parting = tokio::spawn(bank.part(Some(CloseReason::ShuttingDown)));
        assert_eq!(shop.receive().await, Ok(Envelope::Bye(CloseReason::ShuttingDown)));
        assert!(matches!(shop.receive().await, Err(LinkError::Broken { .. })), "nothing comes after it");
        drop(shop);
        parting.await.unwrap();
    }

    #[tokio::test]
    async fn bytes_that_are_no_envelope_are_a_violation_and_half_of_one_is_a_broken_stream() {
        let length = u32::try_from(MAX_ENVELOPE + 1).unwrap().to_be_bytes();
        for (written, rule) in [
            (length.to_vec(), Some("envelope-size")),
            (vec![0, 0, 0, 1, 0xff], Some("envelope-encoding")),
            (vec![0, 0, 0, 0], Some("envelope-kind")),
            (vec![0, 0, 0, 6, 0x42, 4, 8, 1, 0x12, 0], Some("request-stream")),
            (vec![0, 0, 0, 9, 1], None),
        ] {
            let (mut liar, honest) = tokio::io::duplex(100);
            let peer = "liar".parse().unwrap();
            let broken = move |error: &io::Error| LinkError::Broken { peer, detail: error.to_string() };
            let mut honest = over_stream(honest, (peer, peer), &CancellationToken::new(), broken);
            liar.write_all(&written).await.unwrap();
            drop(liar);
            match (honest.receive().await, rule) {
                (Err(LinkError::Violation { rule, .. }), Some(expected)) => assert_eq!(rule, expected),
                (Err(LinkError::Broken { .. }), None) => {}
                (other, _) => panic!("{written:?}: {other:?}"),
            }
        }
    }
}
