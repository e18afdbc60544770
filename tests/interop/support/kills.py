"""Proxies that are killed, or stand still, while they renew by rotating refresh tokens; what became of each grant."""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .fleet import Traffic
from .programs import wait_until
from .proxy import grant

LIFE = 2
# A leader that died, or stands still, is replaced after this.
LEASE = 6
IN_DOUBT = "its refresh token was sent and no answer came"
# When it happens: at some moment of a renewal, or where the token service strikes.
POINTS = ["anywhere", "anywhere", "arrived", "spent", "answered"]


def rotating(token_service, lane):
    """A credential by a refresh token that its server rotates."""
    return grant(
        "refresh_token",
        token_url=f"{token_service.token_url}?lane={lane}",
        client_id="device",
        client_auth="none",
        refresh_token="{ env: REFRESH_TOKEN }",
    )


class Lane:
    """One grant after the other in the care of `replicas`, which share a store; `tally` counts what happened."""

    def __init__(self, name, replicas, token_service, upstream, dice):
        self.name, self.replicas, self.dice = name, replicas, dice
        self.token_service, self.upstream = token_service, upstream
        self.tally, self.grants, self.logged = Counter(), 0, 0

    def run(self, turns):
        """As many turns; each must end with a token for everybody, or with everybody told that there is none."""
        self._begin_anew()
        with Traffic(self) as traffic, ThreadPoolExecutor(1) as pool:
            for number in range(turns):
                self._turn(pool, number)
        self.tally["served"] += traffic.served
        # Also a store that was slow to answer is told of, and nothing sent.
        unexpected = [it for it in traffic.failed if IN_DOUBT not in it and "token_unavailable" not in it]
        assert not unexpected, unexpected[:3]
        self.tally["renewals"] += len(self.token_service.issued(self.subject))
        return self.tally

    def _turn(self, pool, number):
        victim = self.dice.choice(self.replicas)
        self.issued = len(self.token_service.issued(self.subject))
        stands_still = len(self.replicas) > 1 and number % 2 == 0
        if stands_still:
            self._stand_still(pool, victim)
        elif self.dice.random() < 0.15:
            self._kill_at_start(victim)
        else:
            asked = self._strike(pool, victim, signal.SIGKILL)
            victim.program.exit_code()
            self.under_way = asked.result() != "ok"
            victim.start()
        self.tally["kills"] += 1
        is_lost = self._settle() != "ok"
        self.tally["lost, though the leader goes on"] += stands_still and is_lost

    def _strike(self, pool, victim, number):
        """Has `victim` renew, and sends it the signal at some moment; the renewal's outcome."""
        point = self.dice.choice(POINTS)
        self.tally[point] += 1
        if point == "anywhere":
            asked = pool.submit(outcome_of, victim)
            time.sleep(self.dice.uniform(0, 0.06))
            victim.program.signal(number)
        else:
            self.token_service.strike(self.name, victim.pid, number, point, self.dice.randrange(30))
            asked = pool.submit(outcome_of, victim)
        return asked

    def _kill_at_start(self, victim):
        self.tally["at start"] += 1
        victim.kill()
        victim.launch()
        time.sleep(self.dice.uniform(0, 0.4))
        victim.kill()
        self.under_way = True
        victim.start()

    def _stand_still(self, pool, leader):
        """Longer than its lease: the others take over, or can't; then it goes on where it stood."""
        self.tally["stood still"] += 1
        asked = self._strike(pool, leader, signal.SIGSTOP)
        wait_until("it stands still, or has renewed", lambda: asked.done() or state_of(leader) == "T")
        time.sleep(LEASE + 1)
        # Where it took another's token there was no call of its own: the next one is not to be struck.
        self.token_service.spare(self.name)
        leader.program.signal(signal.SIGCONT)
        self.under_way = asked.result() != "ok"

    def _settle(self):
        """Until all have a token by the grant, or all say that it is in doubt; then there is a new grant."""
        said = wait_until("all replicas agree", self._agreed, 30)
        if said == "ok":
            return said
        for replica in self.replicas:
            (refusal,) = wait_until("the token ends", lambda one=replica: refused(one), LIFE + 5)
            assert refusal.status_code == 503, refusal.text
            assert refusal.json()["code"] == "credential_in_doubt", refusal.text
            wait_until("it is told in the log", lambda one=replica: is_told(one))
        self._was_lost_by_rights()
        self.tally["in doubt"] += 1
        self.tally["renewals"] += len(self.token_service.issued(self.subject))
        self._begin_anew()
        return said

    def _agreed(self):
        for replica in self.replicas:
            if state_of(replica) == "T":
                # Struck in the very moment in which it was spared.
                replica.program.signal(signal.SIGCONT)
        for replica in self.replicas:
            # Else what the store has may be all that the renewal takes.
            replica.get("/api/x")
        said = {outcome_of(replica) for replica in self.replicas}
        said = {"in doubt" if IN_DOUBT in str(one) else one for one in said}
        return said.pop() if said in ({"ok"}, {"in doubt"}) else None

    def _was_lost_by_rights(self):
        """A token that was used had its successor saved; without a renewal under way nothing was sent."""
        issued = self.token_service.issued(self.subject)
        sent = len(issued) > self.issued
        if sent and issued[-1] in self.upstream.accepted(self.subject):
            raise AssertionError(f"{self.subject}: lost, though its newest access token was used")
        if not sent and not self.under_way:
            raise AssertionError(f"{self.subject}: lost, though no renewal was under way")
        self.tally["in doubt, unsent"] += not sent

    def _begin_anew(self):
        self.grants += 1
        self.subject = f"{self.name}-{self.grants}"
        token = self.token_service.grant(self.subject)
        for replica in self.replicas:
            replica.kill()
            replica.env["REFRESH_TOKEN"] = token
        for replica in self.replicas:
            replica.launch()
        for replica in self.replicas:
            replica.program.wait_for(replica.port)
            wait_until("the grant is good", lambda one=replica: one.get("/api/x").status_code == 200)


def outcome_of(replica):
    """What it says of a renewal; None where it did not live to say it."""
    try:
        return replica.rotate()
    except OSError:
        return None


def is_told(replica):
    """Whether its log warns, since it was started."""
    said = replica.program.said().rpartition('"listening"')[2]
    return any("not obtained: " + IN_DOUBT in line and "WARN" in line for line in said.splitlines())


def refused(replica):
    """The answer that is no success, in a list: by itself it would count as false."""
    answer = replica.get("/api/x")
    return [answer] if answer.status_code != 200 else []


def state_of(replica):
    with open(f"/proc/{replica.pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
