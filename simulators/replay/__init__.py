"""What was seen once, asked again: captures and usage records played to a server, and compared.

- `capture_file`, `packets`, `streams`, `cutter`: from a pcap or pcapng file to Diameter messages;
  `tshark` does the first two where the packets are of a kind that is not read here.
- `exchanges`: requests with their answers, retransmissions taken out; `records`: usage records.
- `rules`, `rewriting`: who asks, about whom and when, in a run.
- `conversations`, `usage`, `player`, `carrier`: sessions in their order, at their time, and the
  connections that carry them.
- `compare`, `result`: which answers differ in a way that matters.
- `recorder`: a run made into a file that can be played again.
"""
