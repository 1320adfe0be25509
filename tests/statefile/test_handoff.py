"""`Handoff` against the plainest model there is: a list whose first item holds the lock."""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from perfkit.statefile.handoff import Handoff


@dataclass(eq=False)
class Ticket:
    owner: object = field(default_factory=object)


class Machine(RuleBasedStateMachine):
    tickets = Bundle("tickets")

    def __init__(self):
        super().__init__()
        self.line = Handoff()
        self.model = []

    @rule(target=tickets)
    def request(self):
        ticket = Ticket()
        self.model.append(ticket)
        assert self.line.request(ticket) is (self.model == [ticket])
        return ticket

    @rule(ticket=tickets)
    def leave(self, ticket):
        if ticket in self.model:
            self.model.remove(ticket)
        assert self.line.leave(ticket) is (self.model[0] if self.model else None)

    @rule(ticket=tickets, other=st.booleans())
    def ask(self, ticket, other):
        holds = bool(self.model) and self.model[0] is ticket
        assert self.line.is_held_by(ticket.owner) is holds
        assert not self.line.is_held_by(object() if other else None)

    @invariant()
    def the_first_holds(self):
        assert self.line.holder is (self.model[0] if self.model else None)


TestHandoff = Machine.TestCase
