"""What the protection levels above 0 do, one file each: secret choices, permuted channels, sealing, panels."""
