"""An engine of sweeps that works off its tasks in this process, one after the other: all that an engine has to do."""

from collections import deque

from labapp.commands.workers import Work


class InProcess:
    def __init__(self, *_):
        self.waiting = deque()
        self.running = []

    def add(self, function, *arguments):
        work = Work(function, arguments)
        self.waiting.append(work)
        return work

    def finished(self, look=lambda: None):
        while self.waiting:
            work = self.waiting.popleft()
            self.running = [work]
            try:
                work.value = work.function(*work.arguments, self._hear)
            except Exception as error:
                work.fault = f"{type(error).__name__}: {error}"
            look()
            self.running = []
            yield work

    def _hear(self, share, words):
        self.running[0].share, self.running[0].words = share, words

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
