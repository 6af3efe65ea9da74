"""How much one client may ask for: token buckets, with time passed in."""


class TokenBucket:
    """Let `burst` through at once and `rate` a second after that."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, now: float, tokens: float = 1) -> float:
        """Take tokens, all or none; answer with the seconds until there are so many, 0 when there were.

        More than `burst` are there when the bucket is full.
        """
        level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if level >= tokens or level == self._burst:
            self._level = level - tokens
            return 0.0
        self._level = level
        return (min(tokens, self._burst) - level) / self._rate


class Usage(TokenBucket):
    """What one client has sent since it connected, and whether it may go on: the only place that counts.

    A request takes a token of `rate` a second, `burst` at once; so does a frame that carries no message.
    """

    __slots__ = ("_patience", "bytes", "frames")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        super().__init__(rate, burst, now)
        self.frames = 0
        """Whole frames received, control frames and fragments included."""
        self.bytes = 0
        """Bytes of those frames, their headers included."""
        # A tenth of the allowance again may be refused; then the client is not listening.
        self._patience = TokenBucket(rate / 10, max(1.0, burst / 10), now)

    def count(self, size: int) -> None:
        """Count a frame of so many bytes."""
        self.frames += 1
        self.bytes += size

    def is_lost(self, now: float) -> bool:
        """Count a refused request; say whether the client kept sending for too long."""
        return self._patience.take(now) > 0
