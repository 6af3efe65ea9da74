"""Rate limits of one client: token buckets. The time is an argument."""


class TokenBucket:
    """Allow `burst` tokens at once, and `rate` tokens a second after that. `now` is in seconds of a monotonic clock."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, now: float, tokens: float = 1) -> float:
        """Take all tokens or none. Return 0 if they were taken, else the seconds until they can be.

        More than `burst` tokens can be taken only from a full bucket.
        """
        level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if level >= tokens or level == self._burst:
            self._level = level - tokens
            return 0.0
        self._level = level
        return (min(tokens, self._burst) - level) / self._rate

    def spend(self, now: float, tokens: float) -> None:
        """Take the tokens, also those that are not there yet."""
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - tokens
        self._at = now


CHARACTERS_SEARCHED = 256
"""The characters of a malformed frame that count as one more request: finding the `id` of 64 KiB takes about 15 ms."""


class Usage(TokenBucket):
    """Count the frames and requests of one client. Nothing else counts them.

    A client may send `rate` requests a second, and `burst` at once. A frame without a message counts as a request.
    """

    __slots__ = ("_refusals", "bytes", "frames")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        super().__init__(rate, burst, now)
        self.frames = 0
        """The number of whole frames received, with control frames and fragments."""
        self.bytes = 0
        """The bytes of those frames, with their headers."""
        # Refused requests have a limit of a tenth of that. A client that exceeds it ignores the refusals.
        self._refusals = TokenBucket(rate / 10, max(1.0, burst / 10), now)

    def count(self, size: int) -> None:
        """Count a frame of `size` bytes."""
        self.frames += 1
        self.bytes += size

    def count_refusal(self, now: float) -> bool:
        """Count a refused request. Return whether the client has had too many and must be disconnected."""
        return self._refusals.take(now) > 0

    def count_malformed(self, now: float, size: int) -> None:
        """Count the work for a malformed frame of `size` characters, whether it is answered or refused."""
        requests = size // CHARACTERS_SEARCHED
        self.spend(now, requests)
        self._refusals.spend(now, requests / 10)
