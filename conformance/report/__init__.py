"""One report of what opencontainers' programs and the engines' checks say of pyrunc and its peers."""
