"""Everything minifn keeps between two starts."""
