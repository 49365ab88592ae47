"""What a replica keeps on disk: journal files of operations, and snapshots of them."""
