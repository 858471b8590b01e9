// Clients that do what no honest one does. Each acts until destroyed or for a bounded number of
// steps, on threads of its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace kvd {

class BadClients {
 public:
  // Of the store at `host`:`port` (numbers).
  BadClients(std::string host, int port) : host_(std::move(host)), port_(port) {}
  ~BadClients();

  // Opens that many connections and keeps them, saying nothing.
  void Flood(int connections);
  // Bytes that are no HTTP/2, over and over.
  void Garbage(uint64_t seed);
  // Requests that are begun and never ended.
  void HalfOpen(int connections);
  // Streams that are opened and reset at once, thousands on a connection.
  void RapidReset();
  // Header blocks that go on and on.
  void EndlessHeaders();
  // gRPC requests of 64 MiB.
  void GiantMessages();
  // Scans whose answers are never read.
  void SlowReaders(int scans);

  // Connections that could be made so far.
  uint64_t connected() const { return connected_; }

 private:
  // A connected socket that gives up on a send or receive after a second; -1 if there is none.
  int Connect();
  void Start(std::function<void()> body) { threads_.emplace_back(std::move(body)); }
  std::string Address() const;

  const std::string host_;
  const int port_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> connected_{0};
  std::vector<int> kept_;
  std::vector<std::thread> threads_;
};

}  // namespace kvd
