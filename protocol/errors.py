"""The faults a Diameter stack knows (RFC 6733 section 7), raised by every module of `protocol`."""


class ProtocolError(Exception):
    """Root of every fault raised by this package."""


class LocalProtocolError(ProtocolError):
    """We were asked to send or do what the protocol forbids: a fault of our own program."""


class RemoteProtocolError(ProtocolError):
    """What the peer sent is wrong, with everything that an error answer needs.

    `result_code` is the Result-Code to answer (RFC 6733 section 7.1). `failed_avp` holds the
    encoded AVP or AVPs that belong inside a Failed-AVP, without the header of the Failed-AVP
    itself; it is empty when there is nothing to show. `fatal` says that the position in the
    stream is lost, so that only closing the connection helps.
    """

    def __init__(
        self, result_code: int, message: str, failed_avp: bytes = b"", fatal: bool = False
    ) -> None:
        super().__init__(message)
        self.result_code = result_code
        self.message = message
        self.failed_avp = failed_avp
        self.fatal = fatal

    def __repr__(self) -> str:
        return (
            f"RemoteProtocolError({self.result_code}, {self.message!r}, "
            f"failed_avp={self.failed_avp.hex()!r}, fatal={self.fatal})"
        )
