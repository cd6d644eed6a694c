"""What we owe: batches, leases, receipts."""
