//! Bytes ↔ envelopes: the one crossing of this room. Generated types go no further.

use jiff::Timestamp;
use tacitly_core::{Frame, SessionTag};

use super::envelope::{BootId, CloseReason, Envelope, Hello, Lane, Notice, Window, WireRange, is_code};
use super::generated as pb;
use super::settings::{are_features, is_printable_name};
use pb::bye::Reason;
use pb::envelope::Kind;

/// The longest encoded envelope: a body and what is around it.
pub(super) const MAX_ENVELOPE: usize = Frame::MAX_BODY + (16 << 10);

/// Which rule an envelope breaks; a peer's mistake.
pub(super) type Rule = &'static str;

pub(super) fn to_wire(envelope: Envelope) -> pb::Envelope {
    let kind = match envelope {
        Envelope::Hello(hello) => Kind::Hello(pb::Hello {
            wire_oldest: hello.wire.oldest,
            wire_newest: hello.wire.newest,
            features: hello.features.into_iter().collect(),
            software: hello.software,
            party: hello.party.to_string(),
            boot: hello.boot.0.to_vec().into(),
            connection: hello.connection,
            lost: hello.lost,
            lane: hello.lane.number().into(),
            clock_millis: hello.clock.map_or(0, |clock| clock.as_millisecond().try_into().unwrap_or(0)),
        }),
        Envelope::Heartbeat => Kind::Heartbeat(pb::Heartbeat {}),
        Envelope::SessionOpen { session, channel, window } => Kind::SessionOpen(pb::SessionOpen {
            session: session.0.to_vec().into(),
            channel,
            window_frames: window.frames,
            window_bytes: window.bytes,
        }),
        Envelope::SessionFrame { channel, frame, consumed } => Kind::SessionFrame(pb::SessionFrame {
            channel,
            session: frame.session.0.to_vec().into(),
            sequence: frame.sequence,
            body: frame.body,
            consumed,
        }),
        Envelope::SessionAcknowledgement { channel, consumed } => {
            Kind::SessionAcknowledgement(pb::SessionAcknowledgement { channel, consumed })
        }
        Envelope::SessionEnd { session, channel, notice } => Kind::SessionEnd(pb::SessionEnd {
            session: session.0.to_vec().into(),
            channel,
            code: notice.code().to_owned(),
            stage: notice.stage().to_owned(),
        }),
        Envelope::Request { id, service, body } => Kind::Request(pb::Request { id, body, service }),
        Envelope::Response { id, outcome } => Kind::Response(pb::Response {
            id,
            outcome: Some(match outcome {
                Ok(body) => pb::response::Outcome::Body(body),
                Err(code) => pb::response::Outcome::Declined(code),
            }),
        }),
        Envelope::Bye(close_reason) => Kind::Bye(pb::Bye { reason: reason(close_reason).into() }),
    };
    pb::Envelope { kind: Some(kind) }
}

pub(super) fn from_wire(envelope: pb::Envelope) -> Result<Envelope, Rule> {
    Ok(match envelope.kind.ok_or("envelope-kind")? {
        Kind::Hello(hello) => Envelope::Hello(greeting(hello)?),
        Kind::Heartbeat(pb::Heartbeat {}) => Envelope::Heartbeat,
        Kind::SessionOpen(open) => {
            let channel = if open.channel == 0 { Err("channel-number") } else { Ok(open.channel) }?;
            let window = Window { frames: open.window_frames, bytes: open.window_bytes };
            if !window.has_room(0, 0) {
                return Err("session-window");
            }
            Envelope::SessionOpen { session: tag(&open.session)?, channel, window }
        }
        Kind::SessionFrame(frame) => Envelope::SessionFrame {
            channel: frame.channel,
            frame: Frame {
                session: tag(&frame.session)?,
                sequence: frame.sequence,
                body: sized(frame.body, "frame-size")?,
            },
            consumed: frame.consumed,
        },
        Kind::SessionAcknowledgement(pb::SessionAcknowledgement { channel, consumed }) => {
            Envelope::SessionAcknowledgement { channel, consumed }
        }
        Kind::SessionEnd(end) => Envelope::SessionEnd {
            session: tag(&end.session)?,
            channel: end.channel,
            notice: Notice::parse(end.code, end.stage).ok_or("session-end")?,
        },
        Kind::Request(pb::Request { id, service, body }) => {
            let service = if is_code(&service) { Ok(service) } else { Err("request-service") }?;
            Envelope::Request { id, service, body: sized(body, "request-size")? }
        }
        Kind::Response(response) => Envelope::Response {
            id: response.id,
            outcome: match response.outcome.ok_or("response-outcome")? {
                pb::response::Outcome::Body(body) => Ok(sized(body, "response-size")?),
                pb::response::Outcome::Declined(code) if is_code(&code) => Err(code),
                pb::response::Outcome::Declined(_) => return Err("response-outcome"),
            },
        },
        Kind::Bye(bye) => Envelope::Bye(close_reason(Reason::try_from(bye.reason))),
    })
}

fn greeting(hello: pb::Hello) -> Result<Hello, Rule> {
    if !are_features(hello.features.iter()) {
        return Err("hello-features");
    }
    if !is_printable_name(&hello.software) {
        return Err("hello-software");
    }
    Ok(Hello {
        wire: WireRange { oldest: hello.wire_oldest, newest: hello.wire_newest },
        features: hello.features.into_iter().collect(),
        software: hello.software,
        party: hello.party.parse().map_err(|_| "hello-party")?,
        boot: BootId(hello.boot.as_ref().try_into().map_err(|_| "hello-boot")?),
        connection: hello.connection,
        lost: hello.lost,
        lane: Lane::new(hello.lane).ok_or("hello-lane")?,
        clock: clock(hello.clock_millis)?,
    })
}

fn clock(millis: u64) -> Result<Option<Timestamp>, Rule> {
    let clock = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    clock.ok_or("hello-clock").map(|clock| Some(clock).filter(|_| millis > 0))
}

fn tag(bytes: &[u8]) -> Result<SessionTag, Rule> {
    bytes.try_into().map(SessionTag).map_err(|_| "session-tag")
}

fn sized(body: bytes::Bytes, rule: Rule) -> Result<bytes::Bytes, Rule> {
    if body.len() > Frame::MAX_BODY { Err(rule) } else { Ok(body) }
}

fn reason(close_reason: CloseReason) -> Reason {
    match close_reason {
        CloseReason::ShuttingDown => Reason::ShuttingDown,
        CloseReason::Superseded => Reason::Superseded,
        CloseReason::Version => Reason::Version,
        CloseReason::WrongParty => Reason::WrongParty,
        CloseReason::Violation => Reason::Violation,
        CloseReason::NoLongerAPeer => Reason::NoLongerAPeer,
        CloseReason::Lane => Reason::Lane,
        CloseReason::Unknown => Reason::Unspecified,
    }
}

fn close_reason<E>(reason: Result<Reason, E>) -> CloseReason {
    match reason {
        Ok(Reason::ShuttingDown) => CloseReason::ShuttingDown,
        Ok(Reason::Superseded) => CloseReason::Superseded,
        Ok(Reason::Version) => CloseReason::Version,
        Ok(Reason::WrongParty) => CloseReason::WrongParty,
        Ok(Reason::Violation) => CloseReason::Violation,
        Ok(Reason::NoLongerAPeer) => CloseReason::NoLongerAPeer,
        Ok(Reason::Lane) => CloseReason::Lane,
        Ok(Reason::Unspecified) | Err(_) => CloseReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn hello() -> Hello {
        Hello {
            wire: WireRange { oldest: 1, newest: 2 },
            features: ["sealed-lookup".to_owned()].into(),
            software: "tacitly 0.1.0".into(),
            party: "bank".parse().unwrap(),
            boot: BootId([7; 16]),
            connection: 11,
            lost: 10,
            lane: Lane::ONLY,
            clock: Timestamp::from_second(1_795_000_000).ok(),
        }
    }

    #[test]
    fn every_envelope_comes_out_as_it_went_in() {
        let session = SessionTag([9; 16]);
        let frame = Frame { session, sequence: 5, body: Bytes::from_static(b"body") };
        for envelope in [
            Envelope::Hello(hello()),
            Envelope::Heartbeat,
            Envelope::SessionOpen { session, channel: 3, window: Window { frames: 64, bytes: 8 << 20 } },
            Envelope::SessionFrame { channel: 3, frame, consumed: 4 },
            Envelope::SessionAcknowledgement { channel: 3, consumed: 6 },
            Envelope::SessionEnd { session, channel: 3, notice: Notice::new("disk-full", "sorting") },
            Envelope::Request { id: 1, service: "jobs".into(), body: Bytes::from_static(b"?") },
            Envelope::Response { id: 1, outcome: Ok(Bytes::from_static(b"!")) },
            Envelope::Response { id: 2, outcome: Err("busy".into()) },
            Envelope::Bye(CloseReason::ShuttingDown),
            Envelope::Bye(CloseReason::Superseded),
            Envelope::Bye(CloseReason::Version),
            Envelope::Bye(CloseReason::WrongParty),
            Envelope::Bye(CloseReason::Violation),
            Envelope::Bye(CloseReason::NoLongerAPeer),
            Envelope::Bye(CloseReason::Lane),
        ] {
            assert_eq!(from_wire(to_wire(envelope.clone())), Ok(envelope));
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_rule() {
        let frame = |session: &[u8], body: usize| {
            let (session, body) = (session.to_vec().into(), vec![0; body].into());
            Kind::SessionFrame(pb::SessionFrame { channel: 1, session, sequence: 0, body, consumed: 0 })
        };
        let open = |channel, window_bytes| {
            let session = vec![0; 16].into();
            Kind::SessionOpen(pb::SessionOpen { session, channel, window_frames: 1, window_bytes })
        };
        let altered = |edit: fn(&mut pb::Hello)| {
            let Some(Kind::Hello(mut hello)) = to_wire(Envelope::Hello(hello())).kind else { unreachable!() };
            edit(&mut hello);
            Kind::Hello(hello)
        };
        let end = |code: &str, stage: &str| {
            let session = vec![0; 16].into();
            Kind::SessionEnd(pb::SessionEnd { session, channel: 1, code: code.into(), stage: stage.into() })
        };
        let request = |service: &str, body: usize| {
            Kind::Request(pb::Request { id: 1, body: vec![0; body].into(), service: service.into() })
        };
        for (kind, rule) in [
            (None, "envelope-kind"),
            (Some(frame(&[0; 15], 1)), "session-tag"),
            (Some(frame(&[0; 16], Frame::MAX_BODY + 1)), "frame-size"),
            (Some(open(0, 1)), "channel-number"),
            (Some(open(1, 0)), "session-window"),
            (Some(altered(|hello| hello.party = "Not A Name".into())), "hello-party"),
            (Some(altered(|hello| hello.boot = Bytes::new())), "hello-boot"),
            (Some(altered(|hello| hello.lane = 16)), "hello-lane"),
            (Some(altered(|hello| hello.software = "x\u{7}".into())), "hello-software"),
            (Some(altered(|hello| hello.features = vec!["x".into(); 65])), "hello-features"),
            (Some(end("no code", "")), "session-end"),
            (Some(end("code", "line\nline")), "session-end"),
            (Some(request("", 1)), "request-service"),
            (Some(request("Jobs", 1)), "request-service"),
            (Some(request(&"x".repeat(65), 1)), "request-service"),
            (Some(request("jobs", Frame::MAX_BODY + 1)), "request-size"),
            (Some(Kind::Response(pb::Response { id: 1, outcome: None })), "response-outcome"),
        ] {
            assert_eq!(from_wire(pb::Envelope { kind }), Err(rule));
        }
    }
}
