//! The sum as a script.

use std::collections::{BTreeMap, BTreeSet};

use tacitly_core::{Halt, Mailbox, PartyId, Script, Stall, code};

use super::{CHANGED, Mistake, SUM_SLOT, Seat, Sum, id, read_number, read_sum, write_number, write_sum};

pub(super) fn party(seat: Seat) -> Script<Sum> {
    Script::new(seat.roles(), async move |mailbox| {
        if seat.me == id(0) { coordinate(mailbox, seat).await } else { contribute(mailbox, seat.number).await }
    })
}

async fn contribute(mailbox: Mailbox, number: u64) -> Result<Sum, Halt> {
    mailbox.round(1);
    mailbox.send(id(0), write_number(number));
    mailbox.round(2);
    mailbox.progress("awaiting the sum", 0, 1);
    let body = mailbox.receive(id(0)).await?;
    read_sum(&body).ok_or_else(|| mailbox.blame(id(0), code::MALFORMED, None))
}

async fn coordinate(mailbox: Mailbox, mut seat: Seat) -> Result<Sum, Halt> {
    let members = seat.members();
    mailbox.round(1);
    let mut numbers = BTreeMap::from([(seat.me, seat.number)]);
    let mut present = BTreeSet::new();
    for (done, member) in members.iter().enumerate() {
        mailbox.progress("gathering", done as u64, members.len() as u64);
        let earlier = seat.kept.remove(member.as_str());
        match mailbox.receive(*member).await {
            Ok(body) => {
                let number = read_number(&body).ok_or_else(|| mailbox.blame(*member, code::MALFORMED, None))?;
                match earlier {
                    Some(earlier) if earlier != *body => return Err(mailbox.blame(*member, CHANGED, None)),
                    Some(_) => {}
                    None => mailbox.checkpoint(member.as_str(), body.to_vec()).await,
                }
                numbers.insert(*member, number);
                present.insert(*member);
            }
            Err(stall) if !seat.job.tolerant => return Err(of(stall, *member, &seat)),
            Err(_) => match (earlier, seat.job.mistake) {
                // What it sent in an earlier attempt counts.
                (Some(earlier), _) => {
                    numbers.extend(read_number(&earlier).map(|number| (*member, number)));
                }
                (None, Mistake::CountsTheLostAsZero) => {
                    numbers.insert(*member, 0);
                }
                (None, Mistake::WaitsForTheLost) => std::future::pending().await,
                (None, Mistake::BlamesTheLost) => return Err(mailbox.blame(*member, code::MALFORMED, None)),
                (None, _) => {}
            },
        }
    }
    let kept = seat.kept.remove(SUM_SLOT).and_then(|bytes| read_sum(&bytes));
    let sum = kept.unwrap_or_else(|| Sum { total: numbers.values().sum(), of: numbers.into_keys().collect() });
    if seat.job.mistake != Mistake::ReleasesBeforeItIsDurable {
        mailbox.progress("storing the sum", 0, 1);
        mailbox.checkpoint(SUM_SLOT, write_sum(&sum)).await;
    }
    mailbox.round(2);
    present.iter().for_each(|member| mailbox.send(*member, write_sum(&sum)));
    Ok(sum)
}

/// The stall for `member`, or what a wrong toy makes of it.
fn of(stall: Stall, member: PartyId, seat: &Seat) -> Halt {
    let other = seat.members().into_iter().find(|other| *other != member);
    match (seat.job.mistake, other) {
        (Mistake::StallsForTheWrongOne, Some(who)) => Stall { who, ..stall }.into(),
        _ => stall.into(),
    }
}
