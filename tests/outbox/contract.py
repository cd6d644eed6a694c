"""What every outbox must do: batches in, claims out, receipts, expiry. The rest is in contract_leases.py.

A store's test module subclasses both contracts and gives the fixtures `outbox`, empty, and `other`, another outbox on
the same store, as another worker has.
"""

import asyncio

import pytest

from expo_gateway.outbox.base import Outbox, Pending, Progress
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from expo_gateway.protocol.ticket import ticket_id
from tests.outbox.batches import LEASE_S, NOW, all_ok, claim_ids, claim_places, new_batch, receipts


class OutboxContract:
    async def test_a_new_batch_is_due_at_once_with_its_body_as_it_arrived(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)

        (claim,) = await outbox.claim(now=NOW, lease_s=LEASE_S, limit=10)

        assert (claim.batch_id, claim.project_id, claim.body) == (batch.batch_id, batch.project_id, batch.body)
        assert claim.pending == (Pending(place=0), Pending(place=1), Pending(place=2))

    async def test_refused_places_are_not_pending(self, outbox: Outbox) -> None:
        await outbox.add(new_batch(refused=[0, 2]))

        assert await claim_places(outbox) == [(Pending(place=1),)]

    async def test_a_batch_that_is_refused_whole_is_never_due(self, outbox: Outbox) -> None:
        await outbox.add(new_batch(refused=[0, 1, 2]))

        assert await outbox.next_due_at() is None
        assert await outbox.pending_batches() == 0
        assert await claim_ids(outbox) == []

    async def test_the_same_batch_added_again_changes_nothing(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON})])

        await outbox.add(batch)

        assert await claim_places(outbox) == [(Pending(place=1), Pending(place=2))]

    async def test_many_batches_added_at_once_are_all_there(self, outbox: Outbox) -> None:
        batches = [new_batch(number) for number in range(100)]

        await asyncio.gather(*[outbox.add(batch) for batch in batches])

        assert set(await claim_ids(outbox, limit=200)) == {batch.batch_id for batch in batches}

    async def test_a_batch_may_have_as_many_places_as_a_ticket_id_can_name(self, outbox: Outbox) -> None:
        batch = new_batch(places=4096)
        await outbox.add(batch)
        await outbox.record([all_ok(batch)])

        assert await receipts(outbox, batch, places=[4095]) == {4095: RECEIPT_OK_JSON}

    @pytest.mark.parametrize("places", [0, 4097])
    async def test_a_batch_without_places_or_with_too_many_is_a_mistake(self, outbox: Outbox, places: int) -> None:
        with pytest.raises(ValueError, match="1 to 4096"):
            await outbox.add(new_batch(places=places))

    async def test_the_earliest_batches_are_claimed_first_and_no_more_than_asked(self, outbox: Outbox) -> None:
        late, early, middle = (new_batch(i, accepted_at=NOW - age_s) for i, age_s in enumerate([1, 3, 2]))
        for batch in (late, early, middle):
            await outbox.add(batch)

        assert await claim_ids(outbox, limit=2) == [early.batch_id, middle.batch_id]
        assert await claim_ids(outbox, limit=2) == [late.batch_id]

    async def test_batches_of_skipped_projects_stay_where_they_are(self, outbox: Outbox) -> None:
        full, other = new_batch(1, project_id="full", accepted_at=NOW - 1), new_batch(2, project_id="other")
        await outbox.add(full)
        await outbox.add(other)

        assert await claim_ids(outbox, skip=["full", "unheard of"]) == [other.batch_id]
        assert await outbox.next_due_at() == NOW - 1
        assert await claim_ids(outbox) == [full.batch_id]

    async def test_with_projects_skipped_the_earliest_of_the_others_come_first(self, outbox: Outbox) -> None:
        projects = ["full", "b", "a", "b", "full", "a"]
        batches = [
            new_batch(number, project_id=project_id, accepted_at=NOW - 10 + number)
            for number, project_id in enumerate(projects)
        ]
        for batch in reversed(batches):
            await outbox.add(batch)

        assert await claim_ids(outbox, skip=["full"], limit=3) == [batches[i].batch_id for i in (1, 2, 3)]
        assert await claim_ids(outbox, skip=["full"], limit=3) == [batches[5].batch_id]

    async def test_a_batch_is_not_due_before_its_time(self, outbox: Outbox) -> None:
        await outbox.add(new_batch())

        assert await claim_ids(outbox, now=NOW - 1) == []
        assert await outbox.next_due_at() == NOW

    async def test_receipts_come_in_the_order_asked_and_each_once(self, outbox: Outbox) -> None:
        batches = [new_batch(number) for number in range(3)]
        for batch in batches:
            await outbox.add(batch)
            await outbox.record([all_ok(batch)])
        asked = [ticket_id(batches[b].batch_id, place) for b, place in [(2, 1), (0, 2), (2, 0), (1, 1), (0, 0)]]

        found = await outbox.receipts([*asked, asked[1], asked[0]], not_before=0.0)

        assert list(found) == asked

    async def test_unknown_malformed_refused_and_pending_ids_are_left_out(self, outbox: Outbox) -> None:
        batch = new_batch(refused=[1])
        await outbox.add(batch)
        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON})])
        ids = [ticket_id(batch.batch_id, place) for place in (0, 1, 2, 3)]
        unknown = [ticket_id(new_batch(2).batch_id, 0), "", "no id", ids[0] + "0", ids[0].replace("-7", "-4", 1)]

        assert list(await outbox.receipts([*unknown, *ids], not_before=0.0)) == [ids[0]]

    async def test_ids_in_capitals_are_found_under_the_name_they_were_asked_by(self, outbox: Outbox) -> None:
        batch = new_batch(0xABCDEF)
        await outbox.add(batch)
        await outbox.record([all_ok(batch)])
        asked = ticket_id(batch.batch_id, 0).upper()

        assert await outbox.receipts([asked], not_before=0.0) == {asked: RECEIPT_OK_JSON}

    async def test_receipts_of_batches_from_before_the_limit_are_left_out(self, outbox: Outbox) -> None:
        old, young = new_batch(1, accepted_at=NOW - 10), new_batch(2, accepted_at=NOW)
        for batch in (old, young):
            await outbox.add(batch)
            await outbox.record([all_ok(batch)])
        ids = [ticket_id(batch.batch_id, 0) for batch in (old, young)]

        assert list(await outbox.receipts(ids, not_before=NOW)) == ids[1:]

    async def test_a_thousand_ids_of_a_thousand_batches_are_found(self, outbox: Outbox) -> None:
        batches = [new_batch(number, places=1) for number in range(1000)]
        await asyncio.gather(*[outbox.add(batch) for batch in batches])
        await outbox.record([all_ok(batch) for batch in batches])
        ids = [ticket_id(batch.batch_id, 0) for batch in batches]

        assert list(await outbox.receipts(ids, not_before=0.0)) == ids

    async def test_no_ids_have_no_receipts(self, outbox: Outbox) -> None:
        assert await outbox.receipts([], not_before=0.0) == {}

    async def test_batches_from_before_the_limit_are_forgotten_pending_or_not(self, outbox: Outbox) -> None:
        pending, done, young = (new_batch(i, accepted_at=NOW - age_s) for i, age_s in enumerate([20, 20, 5]))
        for batch in (pending, done, young):
            await outbox.add(batch)
        await outbox.record([all_ok(done), all_ok(young)])

        assert await outbox.expire(before=NOW - 10) == 2
        assert await outbox.expire(before=NOW - 10) == 0

        assert await receipts(outbox, done) == {}
        assert len(await receipts(outbox, young)) == 3
        assert await outbox.pending_batches() == 0
        assert await outbox.next_due_at() is None

    async def test_an_empty_outbox_owes_nothing(self, outbox: Outbox) -> None:
        assert await outbox.next_due_at() is None
        assert await outbox.pending_batches() == 0
        assert await claim_ids(outbox) == []
        assert await claim_ids(outbox, skip=["a project"]) == []
        assert await outbox.expire(before=NOW) == 0
        await outbox.record([])
        await outbox.extend([], until=NOW)
