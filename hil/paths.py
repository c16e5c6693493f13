"""What lies behind one link of a virtual board: proxies for each address it leads to."""

from hil.board import VirtualBoard
from hil.datagrams import DatagramProxy
from hil.link import LinkProxy


class Path:
    """The way over one link; addresses that were not added swallow all that is sent to them.

    link     its kind in the board's wiring: lan, w5500, wifi, cellular
    delay_s  one way; loss: probability; both of all its proxies, and may be changed at any time
    """

    def __init__(self, link: str, delay_s: float = 0, loss: float = 0) -> None:
        self.link = link
        self._delay_s = delay_s
        self._loss = loss
        self.ports: dict[str, int] = {}
        self.proxies: dict[str, LinkProxy | DatagramProxy] = {}

    async def add_tcp(self, address: str, port: int) -> LinkProxy:
        """Let an address such as "10.0.0.5:8883" lead to a port of this computer from now on."""
        proxy = LinkProxy("127.0.0.1", port, self._delay_s, loss=self._loss, answers=True)
        await self._add(f"tcp {address}", proxy)
        return proxy

    async def add_udp(self, address: str, port: int) -> DatagramProxy:
        """The same for datagrams."""
        proxy = DatagramProxy("127.0.0.1", port, self._delay_s, self._loss)
        await self._add(f"udp {address}", proxy)
        return proxy

    async def _add(self, key: str, proxy: LinkProxy | DatagramProxy) -> None:
        if key in self.proxies:
            await self.proxies[key].close()
        self.ports[key] = await proxy.start()
        self.proxies[key] = proxy

    @property
    def delay_s(self) -> float:
        return self._delay_s

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        self._delay_s = delay_s
        for proxy in self.proxies.values():
            proxy.delay_s = delay_s

    @property
    def loss(self) -> float:
        return self._loss

    @loss.setter
    def loss(self, loss: float) -> None:
        self._loss = loss
        for proxy in self.proxies.values():
            proxy.loss = loss

    def cut(self) -> None:
        """Let nothing through; nobody is told."""
        for proxy in self.proxies.values():
            proxy.cut()

    def restore(self) -> None:
        for proxy in self.proxies.values():
            proxy.restore()

    async def close(self) -> None:
        for proxy in self.proxies.values():
            await proxy.close()


def lay(board: VirtualBoard, *paths: Path) -> None:
    """Put paths behind a board's links; again after an address was added."""
    board.lay({path.link: path.ports for path in paths})
