"""Faults that are built into the client, the model, the checker and config sync, to see that each is found.

A mutant is the file with one piece of text exchanged. A mutant of the checker is caught by a history of another mutant,
or of the client, that it judges otherwise than the checker does; every other mutant by a history in which something is
wrong. A mutant that nothing catches is a hole in the proof.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import handlers.lambda_config_sync
import no_loss.checker
import no_loss.world
import payment_dr.confirmed
from no_loss.config_sync_histories import play
from no_loss.histories import Call, Client, History, Play, confirmed_payments, drawn
from no_loss.shrink import shortest

Part = Literal["client", "model", "checker", "config sync"]
FILES: dict[Part, ModuleType] = {
    "client": payment_dr.confirmed,
    "model": no_loss.world,
    "checker": no_loss.checker,
    "config sync": handlers.lambda_config_sync,
}
AT_MOST = 20_000  # histories until a mutant counts as not caught
AT_MOST_SYNCED = 2_000


class Mutant(NamedTuple):
    """One exchange of text in one file."""

    part: Part
    name: str
    old: str
    new: str


MUTANTS = (
    # The client
    Mutant("client", "overwrites", 'ConditionExpression="attribute_not_exists(#key)",', ""),
    Mutant("client", "does not read the other region", "while call.waits:", "while False:"),
    Mutant(
        "client",
        "confirms whatever the other region holds",
        "if found and stored and _agree(found, stored):",
        "if found and stored:",
    ),
    Mutant(
        "client",
        "confirms what it read at home",
        'found, failed = self._read("other", call)',
        'found, failed = self._read("home", call)',
    ),
    Mutant("client", "compares text, not numbers", "return kind, _number(content)", "return kind, content"),
    Mutant(
        "client",
        "compares sets in order",
        "return kind, sorted(content)",
        "return kind, list(content)",
    ),
    Mutant(
        "client",
        "takes every item with its key for its own",
        "    if not wanted or stored.get(WRITE_ID) == wanted[WRITE_ID]:\n        return False",
        "    return False",
    ),
    Mutant(
        "client",
        "does not know its own write again",
        "if not wanted or stored.get(WRITE_ID) == wanted[WRITE_ID]:",
        "if not wanted:",
    ),
    Mutant(
        "client",
        "takes a lost answer for a refusal",
        "may_be_taken |= not (_code(error) in _BUSY or isinstance(error, _NEVER_SENT))",
        "may_be_taken |= False",
    ),
    Mutant(
        "client",
        "takes a 500 for a refusal",
        "may_be_taken |= not (_code(error) in _BUSY or isinstance(error, _NEVER_SENT))",
        "may_be_taken |= not isinstance(error, ClientError | EndpointConnectionError)",
    ),
    Mutant(
        "client",
        "believes that what is not there will not come",
        "return self._unknown(call, why) if may_be_taken else",
        'return self._unknown(call, why) if may_be_taken and self._read("home", call) != (None, None) else',
    ),
    Mutant(
        "client",
        "forgets an attempt without an answer",
        "may_be_taken |= not",
        "may_be_taken = not",
    ),
    Mutant(
        "client",
        "takes a throttled call for a mistake",
        "return status >= 500 or _code(error) in _BUSY",
        "return bool(status >= 500)",
    ),
    Mutant(
        "client",
        "takes a 500 for a mistake",
        "return status >= 500 or _code(error) in _BUSY",
        "return _code(error) in _BUSY",
    ),
    Mutant(
        "client",
        "acknowledges by one region always",
        'if self._alone() != "accept":\n            return self._unknown(call, f"this',
        'if self._alone() == "never":\n            return self._unknown(call, f"this',
    ),
    Mutant(
        "client",
        "never acknowledges by one region",
        'if self._alone() != "accept":\n            return self._unknown(call, f"this',
        'if True:\n            return self._unknown(call, f"this',
    ),
    Mutant(
        "client",
        "forgets a conflict that it has seen",
        "differ = differ or bool(found and stored)",
        "differ = bool(found and stored)",
    ),
    Mutant(
        "client",
        "acknowledges by one region without a last look",
        "if call.waits:  # meanwhile",
        "if False:  # meanwhile",
    ),
    Mutant(
        "client",
        "refuses for good what one region holds",
        'return self._unknown(call, f"this region holds another payment, and {why}", stored)',
        "return self._refused(call, why, stored)",
    ),
    Mutant(
        "client",
        "gives the other region up at once",
        "if self._clock() + pause - call.started > self._patience:\n                self._breaker",
        "if failed:\n                self._breaker",
    ),
    Mutant("client", "stops waiting after one failure", "failures: int = 3", "failures: int = 1"),
    Mutant(
        "client",
        "never tries the other region again",
        "self._next = now + self._pause\n            return True",
        "return False",
    ),
    Mutant(
        "client",
        "an open breaker refuses what it has written",
        "return self._insert(call)",
        "return self._refused(call, '') if not call.waits and self._insert(call) else self._insert(call)",
    ),
    Mutant("client", "a void key counts as a payment", 'return "void" in item', "return False"),
    Mutant(
        "client",
        "lookup takes one region's word",
        "stored = at_home or (stored if failed_at_home else None)",
        "stored = at_home or found",
    ),
    Mutant(
        "client",
        "a new key for each attempt",
        "wanted = {**attributes, **names,",
        'wanted = {**attributes, **names, "timestamp": {"N": str(self._clock())},',
    ),
    Mutant(
        "client",
        "keeps for ever what operators chose first",
        "if now >= self._until:",
        "if self._until == -float('inf'):",
    ),
    Mutant(
        "client",
        "does not take a choice back",
        'self._value = "accept" if value == "accept" else "refuse"',
        'self._value = "accept" if "accept" in (value, self._value) else "refuse"',
    ),
    Mutant(
        "client",
        "later reports what it had at first",
        "pool.submit(lambda: then(self._counted(self._settle(call, stored))))",
        'pool.submit(lambda: then(OneRegion(stored, "", 9.0, 1)))',
    ),
    # The model
    Mutant(
        "model", "conditions are not checked", "if insert and old is not None:", "if insert and old is None and False:"
    ),
    Mutant("model", "the first writer wins", "if old is None or version[:2] > old[:2]:", "if old is None:"),
    Mutant("model", "what arrives last wins", "if old is None or version[:2] > old[:2]:", "if True:"),
    Mutant("model", "the smaller timestamp wins", "version[:2] > old[:2]", "version[:2] < old[:2]"),
    Mutant(
        "model",
        "nothing is replicated",
        "self.after(self.lag[source], lambda: self._arrive(source, key, version))",
        "pass",
    ),
    Mutant("model", "what is held back is lost", "self._pending.append((source, key, version))\n", "pass\n"),
    Mutant("model", "an update may be older than what it updates", "if old is not None and at <= old.at:", "if False:"),
    Mutant("model", "a failed condition does not give the item", "old.item if give_old else None", "{}"),
    Mutant(
        "model", "a throttled call is done", 'if fate in ("answer lost",', 'if fate in ("throttled", "answer lost",'
    ),
    Mutant(
        "model",
        "a call that was not sent is done",
        'if fate in ("answer lost",',
        'if fate in ("not sent", "answer lost",',
    ),
    Mutant(
        "model",
        "a read is of the past",
        'return {"Item": dict(found.item)} if found else {}',
        'return {"Item": vars(self).setdefault("old", {}).setdefault((region, key), found.item)} if found else {}',
    ),
    Mutant(
        "model",
        "an update drops what it does not name",
        "{**old.item, **attributes}",
        '{"transaction_id": old.item["transaction_id"], "amount": {"N": "1"}, **attributes}',
    ),
    Mutant(
        "model",
        "a region that fails loses what it holds",
        "self.faults[region].append(fault)",
        "self.faults[region].append(fault)\n        self.replicas[region].clear()",
    ),
    # The checker
    Mutant(
        "checker", "does not look for a confirmed payment", 'self._is_final(key, identity(outcome.item), "lost")', ""
    ),
    Mutant(
        "checker",
        "looks in one region",
        "for region in REGIONS:\n            if identity",
        "for region in REGIONS[:1]:\n            if identity",
    ),
    Mutant("checker", "looks once", "if key in self.final and new != self.final[key]:", "if False:"),
    Mutant(
        "checker",
        "does not see overwriting",
        'if change.what == "replace" and change.old and change.old != change.new:',
        "if False:",
    ),
    Mutant(
        "checker",
        "does not see what arrives",
        'if change.what in ("insert", "replace", "update", "replicate"):',
        'if change.what in ("insert", "replace", "update"):',
    ),
    Mutant("checker", "believes a refusal", "self.refused.add((key, own))", "pass"),
    Mutant("checker", "believes that nothing was written", "self.wrote_nothing.add(change.call)", "pass"),
    Mutant(
        "checker",
        "does not look back at a call's writes",
        'if change.call in self.wrote:\n                    self._wrong("happened", f"call',
        'if False:\n                    self._wrong("happened", f"call',
    ),
    Mutant(
        "checker", "believes what exists instead", 'self._is_final(key, identity(outcome.existing), "not in both")', ""
    ),
    Mutant("checker", "does not compare the payment", "if identity(outcome.item) != own:", "if False:"),
    Mutant(
        "checker",
        "does not mind what has changed since",
        "elif change.call not in self.wrote and outcome",
        "elif False and outcome",
    ),
    Mutant("checker", "does not ask the operator", 'if "accept" not in chosen:', "if False:"),
    Mutant(
        "checker",
        "does not mind a known conflict",
        "if any(identity(each) != payment for each in self.read_by",
        "if any(False for each in self.read_by",
    ),
    Mutant("checker", "has all the time in the world", "EARLY = 3.5", "EARLY = 0.0"),
    Mutant("checker", "excuses every skipped wait", "change.call not in self.may_skip", "False"),
    Mutant("checker", "believes one region", "!= payment and until < change", "!= payment and until < 0 * change"),
    Mutant(
        "checker",
        "does not count what one region loses",
        'self._wrong("one region, unexplained", f"{payment} under {key}")',
        "pass",
    ),
    Mutant(
        "checker",
        "does not mind that nothing is acknowledged",
        'chosen == {"accept"} and undisputed',
        'chosen == {""} and undisputed',
    ),
    Mutant("checker", "is patient for ever", "for key, amount in unfinished:", "for key, amount in ():"),
    Mutant("checker", "does not compare the replicas", "if one != other:", "if False:"),
    Mutant("checker", "counts no items", "if number > 1:", "if False:"),
    Mutant("checker", "does not mind exceptions", 'self._wrong("raised", repr(outcome))', "pass"),
    Mutant(
        "checker",
        "takes 10.50 and 10.5 for two payments",
        'return text.rstrip("0").rstrip(".") if "." in text else text',
        "return text",
    ),
    # Config sync
    Mutant(
        "config sync",
        "does not make again what was deleted",
        "        if not home:\n",
        "        if len(home) > 1 and not target:\n            return Outcome(copied=False, in_sync=True), None\n"
        "        if not home:\n",
    ),
    Mutant(
        "config sync",
        "takes what was created again for a copy",
        "if original and differ(copy, original):",
        "if False:",
    ),
    Mutant("config sync", "copies into the standard tier", '"Advanced" if is_advanced else "Standard"', '"Standard"'),
    Mutant("config sync", "copies with the tier of the write", "(last, *target[-1:]))", "(last,))"),
    Mutant(
        "config sync",
        "copies with the tier of the target",
        "for version in (last, *target[-1:]))",
        "for version in target[-1:])",
    ),
    Mutant("config sync", "takes a seed for a write", "            not version.write.is_seed,\n", ""),
    Mutant(
        "config sync",
        "takes a write for a seed that keeps its description",
        'entry["Version"] == 1 and description',
        "description",
    ),
    Mutant(
        "config sync",
        "takes a throttled copy for made",
        "                continue\n",
        "                return Outcome(copied=True, in_sync=True)\n",
    ),
    Mutant(
        "config sync",
        "believes a clock that is behind",
        "Write(max(modified, latest + timedelta(microseconds=1)),",
        "Write(modified,",
    ),
    Mutant(
        "config sync",
        "knows its copies by clocks that agree",
        "max(abs(modified - stamp.made_at), stamp.write.time - modified) <= STAMP_AGE_MAX",
        "abs(modified - stamp.made_at) <= timedelta(minutes=1)",
    ),
    Mutant(
        "config sync",
        "takes the copy of an hour-old write for a write",
        "max(abs(modified - stamp.made_at), stamp.write.time - modified) <= STAMP_AGE_MAX",
        "abs(modified - stamp.write.time) <= STAMP_AGE_MAX",
    ),
    Mutant(
        "config sync",
        "copies what each event names, in their order",
        "last = ranked(versions)[0]",
        "last = (home or target)[-1]",
    ),
)


class Subject(NamedTuple):
    """A client, a model and a checker, of which one may be changed."""

    client: Callable[[Call], Client]
    world: Callable[..., Any]
    check: Callable[[Play], Any]
    breaker: Callable[[], Any]
    live: Callable[..., Any]
    kind: Callable[..., Any]  # the client's class

    def kinds(self, history: History) -> frozenset[str]:
        """What is wrong when the history is played."""
        play = Play(history, self.client, world=self.world, breaker=self.breaker, live=self.live)
        play.run()
        return frozenset(each.kind for each in self.check(play).violations)


AS_IT_IS = Subject(
    confirmed_payments,
    no_loss.world.World,
    no_loss.checker.check,
    payment_dr.confirmed.Breaker,
    payment_dr.confirmed.Live,
    payment_dr.confirmed.ConfirmedPayments,
)


def module_of(mutant: Mutant) -> ModuleType:
    """The mutant's file, with the exchange.

    Raises:
        LookupError: The text to exchange is not there exactly once.
    """
    original = FILES[mutant.part]
    source = Path(str(original.__file__)).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: its text is {source.count(mutant.old)} times in {original.__name__}")
    module = ModuleType(f"{original.__name__}_changed")
    module.__file__ = original.__file__
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source.replace(mutant.old, mutant.new), mutant.name, "exec"), module.__dict__)  # noqa: S102
    return module


def changed(mutant: Mutant) -> Subject:
    """Client, model and checker, with a mutant in place of one of them."""
    module = module_of(mutant)
    if mutant.part == "client":
        for name in ("Confirmed", "OneRegion", "Unknown", "Refused"):  # the checker knows these
            setattr(module, name, getattr(payment_dr.confirmed, name))

        def client(call: Call) -> Client:
            return confirmed_payments(call, module.ConfirmedPayments)

        return AS_IT_IS._replace(client=client, breaker=module.Breaker, live=module.Live, kind=module.ConfirmedPayments)
    if mutant.part == "model":
        return AS_IT_IS._replace(world=module.World)
    return AS_IT_IS._replace(check=module.check)


@dataclass(frozen=True)
class Caught:
    """How a mutant was caught.

    Attributes:
        mutant: The mutant.
        seed: Of the history that caught it first; None if none did.
        history: The shortest one; empty for config sync, whose histories are not made of these events.
        kinds: What is wrong in it; for a mutant of the checker, what it judges otherwise.
        by: Whose history it is, for a mutant of the checker.
        log, again: For config sync, all that happens in the shortest one, and that history for `play_again`.
    """

    mutant: Mutant
    seed: int | None = None
    history: History = ()
    kinds: frozenset[str] = frozenset()
    by: str = ""
    log: tuple[str, ...] = ()
    again: str = ""


def hunt(mutant: Mutant, at_most: int = AT_MOST) -> Caught:
    """Search for a history that catches a mutant of the client or the model, and make it short."""
    subject = changed(mutant)
    for seed in range(at_most):
        history = drawn(seed)
        if kinds := subject.kinds(history):
            kind = min(kinds)
            short = shortest(history, lambda each: kind in subject.kinds(each))  # noqa: B023 - used at once
            return Caught(mutant, seed, short, subject.kinds(short))
    return Caught(mutant)


def hunt_in_config_sync(mutant: Mutant, seed: int = 0) -> Caught:
    """Search for a history that catches a mutant of config sync, and make it short."""
    played = play(seed, AT_MOST_SYNCED, module_of(mutant))
    if not played.failure:
        return Caught(mutant)
    return Caught(mutant, seed, kinds=frozenset(played.failure[-1:]), log=played.failure, again=played.again)


def judged_otherwise(subject: Subject, judge: Callable[[Play], Any], history: History) -> frozenset[str]:
    """What one of two checkers alone finds wrong."""
    return subject.kinds(history) ^ subject._replace(check=judge).kinds(history)


def hunt_in_checker(mutant: Mutant, others: Sequence[Caught], sound: int = 60) -> Caught:
    """Search for a history that a mutant of the checker judges otherwise than the checker does.

    Args:
        mutant: The mutant.
        others: Mutants of the client and the model that were caught.
        sound: How many other histories of each, and of the unchanged client, are judged too.
    """
    judge = changed(mutant).check
    for other in others:
        subject = changed(other.mutant)
        for history in (other.history, drawn(other.seed or 0)):
            if judged_otherwise(subject, judge, history):
                short = shortest(history, lambda each: bool(judged_otherwise(subject, judge, each)))  # noqa: B023
                return Caught(mutant, other.seed, short, judged_otherwise(subject, judge, short), other.mutant.name)
    subjects = [(AS_IT_IS, "the client as it is"), *((changed(other.mutant), other.mutant.name) for other in others)]
    for subject, name in subjects:
        for seed in range(sound):
            history = drawn(seed)
            if judged_otherwise(subject, judge, history):
                short = shortest(history, lambda each: bool(judged_otherwise(subject, judge, each)))  # noqa: B023
                return Caught(mutant, seed, short, judged_otherwise(subject, judge, short), name)
    return Caught(mutant)
