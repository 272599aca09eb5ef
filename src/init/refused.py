"""What cannot be exported rightly, and what to do instead."""


class Refused(Exception):
    def __init__(self, reason, remedy):
        super().__init__(reason)
        self.remedy = remedy
