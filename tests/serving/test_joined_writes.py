"""Writes of a turn of the event loop against what arrives at the transport."""

import asyncio

from seqrec.serving.joined_writes import JoinedWrites


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self):
        self.sent, self.is_closed, self.pauses = [], False, 0

    def write(self, data):
        assert not self.is_closed
        self.sent.append(data)

    def close(self):
        self.is_closed = True

    def is_closing(self):
        return self.is_closed

    def pause_reading(self):
        self.pauses += 1


def test_writes_of_a_turn_are_sent_together_and_none_is_lost_by_closing():
    async def run():
        transport = Recorder()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert transport.sent == []
        await asyncio.sleep(0)
        assert transport.sent == [b"head body"]
        joined.write(b"next")
        await asyncio.sleep(0)
        joined.write(b"last ")
        joined.write(b"words")
        joined.close()
        assert transport.sent == [b"head body", b"next", b"last words"] and transport.is_closed
        await asyncio.sleep(0)
        joined.write(b"too late")
        await asyncio.sleep(0)
        assert len(transport.sent) == 3
        joined.pause_reading()
        assert transport.pauses == 1 and joined.is_closing()

    asyncio.run(run())
