"""What the checks of podman, docker and containerd share: how one is declared, made and reported."""
