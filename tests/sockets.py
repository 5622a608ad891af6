"""Which sockets a process and its children listen on, from /proc."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True)
class Listening:
    """A TCP socket that waits for connections."""

    address: str
    port: int
    command: str

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback


def listening(pid: int) -> list[Listening]:
    """The sockets that a process and its descendants listen on."""
    commands = {inode: command for process in descendants(pid) for inode, command in sockets_of(process)}
    return [
        Listening(address, port, commands[inode])
        for table, length in (("tcp", 4), ("tcp6", 16))
        for address, port, inode in rows_of(table, length)
        if inode in commands
    ]


def descendants(pid: int) -> set[int]:
    """A process and all that it has started, and these have started."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    out, size = {pid}, 0
    while len(out) > size:
        size = len(out)
        out |= {child for child, parent in parents.items() if parent in out}
    return out


def sockets_of(pid: int) -> Iterator[tuple[str, str]]:
    """Inode of each socket of a process, and the process's command."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                yield found[1], command
    except OSError:
        return


def rows_of(table: str, length: int) -> Iterator[tuple[str, int, str]]:
    """Address, port and inode of the listening sockets in a table of the kernel; length: bytes of an address."""
    family = socket.AF_INET if length == 4 else socket.AF_INET6
    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == LISTEN:
            address, port = words[1].split(":")
            words_of_address = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
            packed = struct.pack(f"<{length // 4}I", *words_of_address)
            yield socket.inet_ntop(family, packed), int(port, 16), words[9]
