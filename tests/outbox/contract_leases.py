"""What every outbox must do: leases, and the progress that their owners write back. See contract.py."""

import asyncio

import pytest

from expo_gateway.outbox.base import Outbox, Pending, Progress
from expo_gateway.protocol.receipt import RECEIPT_OK_JSON
from tests.outbox.batches import ERROR_JSON, LEASE_S, NOW, all_ok, claim_ids, claim_places, new_batch, receipts


class LeaseContract:
    async def test_a_claimed_batch_is_not_claimed_again_before_its_lease_lapses(
        self, outbox: Outbox, other: Outbox
    ) -> None:
        await outbox.add(new_batch())
        (claimed,) = await claim_ids(outbox)

        assert await claim_ids(other, now=NOW + LEASE_S - 1) == []
        assert await outbox.next_due_at() == NOW + LEASE_S
        assert await claim_ids(other, now=NOW + LEASE_S) == [claimed]

    async def test_two_workers_never_claim_the_same_batch(self, outbox: Outbox, other: Outbox) -> None:
        batches = [new_batch(number) for number in range(20)]
        for batch in batches:
            await outbox.add(batch)

        claims = await asyncio.gather(*[claim_ids(worker, limit=3) for worker in (outbox, other) * 5])

        claimed = [one for ids in claims for one in ids]
        assert sorted(claimed) == sorted(batch.batch_id for batch in batches)

    async def test_an_extended_lease_lasts_longer(self, outbox: Outbox, other: Outbox) -> None:
        await outbox.add(new_batch())
        claimed = await claim_ids(outbox)

        await outbox.extend(claimed, until=NOW + 3 * LEASE_S)

        assert await claim_ids(other, now=NOW + 2 * LEASE_S) == []
        assert await claim_ids(other, now=NOW + 3 * LEASE_S) == claimed

    async def test_extending_never_makes_a_lease_shorter(self, outbox: Outbox, other: Outbox) -> None:
        await outbox.add(new_batch())

        await outbox.extend(await claim_ids(outbox), until=NOW + 1)

        assert await claim_ids(other, now=NOW + 2) == []

    async def test_a_late_owner_does_not_end_the_lease_of_the_next(self, outbox: Outbox, other: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await claim_ids(outbox)
        await claim_ids(other, now=NOW + LEASE_S)

        await outbox.record([Progress(batch_id=batch.batch_id, retries=[Pending(place=0, attempts=9)], release=True)])

        assert await outbox.next_due_at() == NOW + 2 * LEASE_S
        (places,) = await claim_places(other, now=NOW + 2 * LEASE_S)
        assert places[0] == Pending(place=0)

    async def test_a_late_owner_does_not_extend_the_lease_of_the_next(self, outbox: Outbox, other: Outbox) -> None:
        await outbox.add(new_batch())
        claimed = await claim_ids(outbox)
        await claim_ids(other, now=NOW + LEASE_S)

        await outbox.extend(claimed, until=NOW + 100 * LEASE_S)

        assert await outbox.next_due_at() == NOW + 2 * LEASE_S

    async def test_a_late_owner_still_extends_a_lease_that_nobody_took(self, outbox: Outbox, other: Outbox) -> None:
        await outbox.add(new_batch())
        claimed = await claim_ids(outbox)

        await outbox.extend(claimed, until=NOW + 3 * LEASE_S)

        assert await claim_ids(other, now=NOW + 2 * LEASE_S) == []

    async def test_the_receipts_of_a_late_owner_count(self, outbox: Outbox, other: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await claim_ids(outbox)
        await claim_ids(other, now=NOW + LEASE_S)

        await outbox.record([Progress(batch_id=batch.batch_id, receipts={1: RECEIPT_OK_JSON})])
        await other.record([Progress(batch_id=batch.batch_id, receipts={1: ERROR_JSON})])

        assert await receipts(outbox, batch) == {1: RECEIPT_OK_JSON}

    async def test_a_batch_that_a_late_owner_finishes_is_done(self, outbox: Outbox, other: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await claim_ids(outbox)
        claimed = await claim_ids(other, now=NOW + LEASE_S)

        await outbox.record([all_ok(batch)])
        await other.extend(claimed, until=NOW + 9 * LEASE_S)
        await other.record([Progress(batch_id=batch.batch_id, retries=[Pending(place=0)], release=True)])

        assert await outbox.pending_batches() == 0
        assert await outbox.next_due_at() is None

    async def test_receipts_are_kept_byte_for_byte(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)

        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON, 2: ERROR_JSON})])

        assert await receipts(outbox, batch) == {0: RECEIPT_OK_JSON, 2: ERROR_JSON}

    async def test_a_receipt_is_never_replaced(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON, 1: ERROR_JSON})])

        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: ERROR_JSON, 1: RECEIPT_OK_JSON})])

        assert await receipts(outbox, batch) == {0: RECEIPT_OK_JSON, 1: ERROR_JSON}

    async def test_a_refused_place_never_gets_a_receipt(self, outbox: Outbox) -> None:
        batch = new_batch(refused=[1])
        await outbox.add(batch)

        await outbox.record([Progress(batch_id=batch.batch_id, receipts={1: RECEIPT_OK_JSON})])

        assert await receipts(outbox, batch) == {}

    async def test_progress_of_one_batch_in_several_pieces_adds_up(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)

        pieces = [Progress(batch_id=batch.batch_id, receipts={place: RECEIPT_OK_JSON}) for place in (0, 1, 2)]
        await outbox.record(pieces)

        assert list(await receipts(outbox, batch)) == [0, 1, 2]
        assert await outbox.pending_batches() == 0

    async def test_a_batch_with_a_receipt_for_every_place_is_done(self, outbox: Outbox) -> None:
        batch = new_batch(refused=[1])
        await outbox.add(batch)
        await claim_ids(outbox)

        await outbox.record([all_ok(batch)])

        assert await outbox.pending_batches() == 0
        assert await outbox.next_due_at() is None
        assert await claim_ids(outbox, now=NOW + 9 * LEASE_S) == []

    async def test_after_a_crash_only_places_without_a_receipt_are_done_again(
        self, outbox: Outbox, other: Outbox
    ) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await claim_ids(outbox)
        await outbox.record([Progress(batch_id=batch.batch_id, receipts={1: RECEIPT_OK_JSON})])

        assert await claim_places(other, now=NOW + LEASE_S) == [(Pending(place=0), Pending(place=2))]

    async def test_a_released_batch_is_due_at_the_earliest_of_its_retries(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        await claim_ids(outbox)
        soon = Pending(place=2, attempts=1, due_at=NOW + 5)
        later = Pending(place=0, attempts=1, due_at=NOW + 60)

        await outbox.record(
            [
                Progress(batch_id=batch.batch_id, receipts={1: ERROR_JSON}),
                Progress(batch_id=batch.batch_id, retries=[later, soon], release=True),
            ]
        )

        assert await outbox.next_due_at() == NOW + 5
        assert await outbox.pending_batches() == 1
        assert await claim_ids(outbox, now=NOW + 4) == []

    async def test_a_claim_holds_only_the_places_that_are_due(self, outbox: Outbox) -> None:
        batch = new_batch(places=2)
        await outbox.add(batch)
        await claim_ids(outbox)
        soon, later = (Pending(place=i, attempts=i + 1, due_at=NOW + 5 + 55 * i) for i in (0, 1))
        await outbox.record([Progress(batch_id=batch.batch_id, retries=[soon, later], release=True)])

        assert await claim_places(outbox, now=NOW + 5) == [(soon,)]
        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON}, release=True)])

        assert await outbox.next_due_at() == NOW + 60
        assert await claim_places(outbox, now=NOW + 60) == [(later,)]

    async def test_a_batch_given_back_untouched_is_due_at_once(self, outbox: Outbox, other: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        claimed = await claim_ids(outbox)

        await outbox.record([Progress(batch_id=batch.batch_id, release=True)])

        assert await claim_ids(other) == claimed

    async def test_retries_of_a_dead_owner_wait_for_their_time(self, outbox: Outbox, other: Outbox) -> None:
        batch = new_batch(places=1)
        await outbox.add(batch)
        await claim_ids(outbox)
        retry = Pending(place=0, attempts=1, due_at=NOW + 3 * LEASE_S)
        await outbox.record([Progress(batch_id=batch.batch_id, retries=[retry])])

        assert await claim_places(other, now=NOW + LEASE_S) == []
        assert await outbox.next_due_at() == retry.due_at
        assert await claim_places(other, now=retry.due_at) == [(retry,)]

    async def test_batches_behind_one_that_turns_out_not_to_be_due_are_claimed_all_the_same(
        self, outbox: Outbox
    ) -> None:
        postponed, behind = new_batch(1, places=1), new_batch(2, accepted_at=NOW + LEASE_S)
        await outbox.add(postponed)
        await claim_ids(outbox)
        retry = Pending(place=0, attempts=1, due_at=NOW + 9 * LEASE_S)
        await outbox.record([Progress(batch_id=postponed.batch_id, retries=[retry])])
        await outbox.add(behind)

        assert await claim_ids(outbox, now=NOW + LEASE_S, limit=1) == [behind.batch_id]

    async def test_as_many_as_asked_are_claimed_when_one_among_them_turns_out_not_to_be_due(
        self, outbox: Outbox
    ) -> None:
        postponed = new_batch(1, places=1)
        behind = [new_batch(number, accepted_at=NOW + LEASE_S) for number in (2, 3, 4)]
        await outbox.add(postponed)
        await claim_ids(outbox)
        retry = Pending(place=0, attempts=1, due_at=NOW + 9 * LEASE_S)
        await outbox.record([Progress(batch_id=postponed.batch_id, retries=[retry])])
        for batch in behind:
            await outbox.add(batch)

        assert await claim_ids(outbox, now=NOW + LEASE_S, limit=2) == [batch.batch_id for batch in behind[:2]]

    async def test_a_retry_for_a_place_that_has_a_receipt_is_nothing(self, outbox: Outbox) -> None:
        batch = new_batch(places=1)
        await outbox.add(batch)
        await claim_ids(outbox)

        retry = Pending(place=0, attempts=1, due_at=NOW + 60)
        await outbox.record(
            [Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON}, retries=[retry], release=True)]
        )

        assert await outbox.next_due_at() is None

    async def test_a_receipt_ends_the_retries_of_its_place(self, outbox: Outbox) -> None:
        batch = new_batch(places=2)
        await outbox.add(batch)
        await claim_ids(outbox)
        retries = [Pending(place=i, attempts=1, due_at=NOW + 60 + i) for i in (0, 1)]
        await outbox.record([Progress(batch_id=batch.batch_id, retries=retries, release=True)])

        await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: RECEIPT_OK_JSON})])

        assert await claim_places(outbox, now=NOW + 99) == [(retries[1],)]

    async def test_progress_of_an_unknown_batch_or_place_is_passed_over(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)
        unheard_of = {-1: RECEIPT_OK_JSON, 3: RECEIPT_OK_JSON}

        await outbox.record(
            [
                all_ok(new_batch(2)),
                Progress(
                    batch_id=batch.batch_id,
                    receipts={0: RECEIPT_OK_JSON, **unheard_of},
                    retries=[Pending(place=99)],
                ),
            ]
        )

        assert await receipts(outbox, batch) == {0: RECEIPT_OK_JSON}

    async def test_a_receipt_that_is_no_json_is_a_mistake(self, outbox: Outbox) -> None:
        batch = new_batch()
        await outbox.add(batch)

        with pytest.raises(ValueError, match="JSON"):
            await outbox.record([Progress(batch_id=batch.batch_id, receipts={0: b"ok"})])

        assert await receipts(outbox, batch) == {}
