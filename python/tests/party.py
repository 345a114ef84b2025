"""A party in a process of its own, for tests: reads what to do as JSON from its arguments, answers in JSON lines."""

import json
import sys
import time

import tacitly as tt


def say(**answer):
    print(json.dumps(answer), flush=True)


def main():
    asked = json.loads(sys.argv[1])
    if "create" in asked:
        party = tt.Party.create(asked["home"], asked["create"], listen=asked.get("listen"))
        if "invited_by" in asked:
            party.join(asked["invited_by"])
        else:
            say(code=party.invite(asked["peer"]))
    else:
        party = tt.connect(asked["home"])
    while not party.peers():
        time.sleep(0.05)
    keys = [line.rstrip("\n") for line in open(asked["keys"], encoding="utf-8")]
    stages = []

    def note(job):
        stages.append(job.stage)
        say(progress=job.done)

    session = party.session(asked["peer"], job=asked["job"], timeout=120)
    try:
        call = getattr(session, asked["kind"])
        result = call(keys, normalise="cn-mobile", duplicates="first", invalid="skip", progress=note)
        say(rows=list(result.indices), shared=result.job.result_items, peer_items=result.peer_items)
    except tt.TacitlyError as error:
        say(error=error.code, peer=error.peer, stage=error.stage, hint=error.hint, stages=stages)
    # The interpreter lives and the party answers, whatever happened to the other.
    say(alive=sum(range(10)))
    party.close()


main()
