//! Ten thousand seeded orders of events, and the orders that once went wrong.

pub(in crate::jobs) mod world;

use super::*;
use world::{Weather, World};

/// Turns of a hostile world, and of a calm one after it in which everything must come to its end.
const HOSTILE: u32 = 600;
const CALM: u32 = 60_000;

fn run(weather: Weather, seed: u64) -> World {
    live(World::new(weather, seed), seed)
}

/// A world lives to its end, and is judged.
pub(in crate::jobs) fn live(mut world: World, seed: u64) -> World {
    for _ in 0..HOSTILE {
        world.turn();
    }
    world.calm = true;
    for _ in 0..CALM {
        if world.is_over() {
            break;
        }
        world.turn();
    }
    judge(&world, seed);
    world
}

/// One exact result, released once; every job ends, or names why it did not end well.
fn judge(world: &World, seed: u64) {
    for (name, process) in &world.all {
        if process.gone {
            continue;
        }
        let Some(ledger) = &process.ledger else {
            // What came to its end before this party heard of it has nothing for it.
            assert!(
                world.ended_by_somebody || world.weather.quorum != Quorum::All,
                "seed {seed}: {name} never heard of the job"
            );
            continue;
        };
        let serves = world.weather.serves;
        let well = if serves { State::Serving } else { State::Done };
        let done = ledger.state == well;
        assert!(ledger.state.is_over() || done, "seed {seed}: {name} is {} after {:?}", ledger.state, world.story());
        let receives = ledger.parties[name].receives;
        assert_eq!(process.released, u32::from(done && receives && !serves), "seed {seed}: {name}");
        assert_eq!(ledger.failure.is_none(), done, "seed {seed}: {name} does not say why");
        world.judge_rows(*name);
        if !world.ended_by_somebody && !world.weather.one_never_returns {
            assert!(done, "seed {seed}: {name} is {} because of {:?}", ledger.state, ledger.failure);
        }
    }
}

const KINDS: [Weather; 6] = [
    weather(2, Quorum::All, 1),
    weather(2, Quorum::All, 2),
    weather(3, Quorum::All, 1),
    weather(3, Quorum::All, 3),
    weather(5, Quorum::AtLeast(5), 2),
    weather(7, Quorum::All, 7),
];

pub(in crate::jobs) const fn weather(parties: usize, quorum: Quorum, receivers: usize) -> Weather {
    Weather {
        parties,
        quorum,
        receivers,
        lossy: 150,
        crashes: 15,
        endings: 0,
        one_never_returns: false,
        losses: true,
        serves: false,
    }
}

/// A service of so many parties.
const fn service(parties: usize) -> Weather {
    Weather { serves: true, ..weather(parties, Quorum::All, parties) }
}

#[test]
fn in_ten_thousand_orders_a_job_ends_well_once_everywhere() {
    for seed in 0..6_000 {
        run(KINDS[seed as usize % KINDS.len()], seed);
    }
}

#[test]
fn a_job_that_somebody_ends_is_over_everywhere_and_says_why() {
    for seed in 0..3_000 {
        let weather = Weather { endings: 4, ..KINDS[seed as usize % KINDS.len()] };
        run(weather, seed);
    }
}

#[test]
fn a_job_of_seven_ends_well_without_the_one_that_never_returns() {
    let mut without = 0;
    for seed in 0..1_000 {
        let kind = Weather { one_never_returns: true, losses: false, ..weather(7, Quorum::AtLeast(6), 3) };
        let world = run(kind, seed);
        let done = world.all.values().filter(|process| process.state() == Some(State::Done)).count();
        assert!(done >= 6, "seed {seed}: only {done} parties are done");
        without += u32::from(world.all[&world.names[6]].gone);
    }
    assert!(without > 500, "only {without} worlds lost a party");
}

#[test]
fn a_job_that_needs_a_party_that_never_returns_waits_and_names_it() {
    let weather = Weather { one_never_returns: true, ..weather(3, Quorum::All, 1) };
    let mut waited = 0;
    for seed in 0..200 {
        let mut world = World::new(weather, seed);
        for _ in 0..3_000 {
            world.turn();
        }
        let last = world.names[2];
        let computed = world.all.values().any(|process| process.state() == Some(State::Done));
        if !world.all[&last].gone || computed {
            continue;
        }
        waited += 1;
        for name in &world.names[..2] {
            let Some(job) = &world.all[name].job else { continue };
            let suspended = job.ledger.state == State::Suspended;
            let who = job.ledger.failure.as_ref().and_then(|why| why.who);
            assert!(!suspended || who.is_some(), "seed {seed}: {name} does not name whom it waits for");
            assert!(!job.ledger.state.is_over(), "seed {seed}: {name} gave up");
        }
    }
    assert!(waited > 50, "only {waited} worlds lost a party");
}

#[test]
fn a_service_serves_everywhere_after_every_order_and_holds_no_place() {
    for seed in 0..2_000 {
        run(service([2, 3, 7][seed as usize % 3]), seed);
    }
}

#[test]
fn a_service_that_anybody_ends_is_over_everywhere_and_never_serves_again() {
    let mut ended = 0;
    for seed in 0..2_000 {
        let world = run(Weather { endings: 4, ..service([2, 3, 7][seed as usize % 3]) }, seed);
        let states: Vec<_> = world.all.values().filter_map(|process| process.state()).collect();
        let over = states.iter().filter(|state| state.is_over()).count();
        assert!(over == 0 || over == states.len(), "seed {seed}: {states:?}");
        ended += u32::from(states.iter().all(|state| matches!(state, State::Revoked | State::Expired)));
    }
    assert!(ended > 200, "only {ended} services were ended that had served");
}
