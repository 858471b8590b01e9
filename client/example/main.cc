// Counts visits, keeps a lock and lists what is there: example [HOST:PORT]
#include <kvd/client.h>

#include <iostream>

int main(int argc, char** argv) {
  kvd::ClientOptions options;
  if (argc > 1) options.addresses = {argv[1]};
  auto connected = kvd::Client::Connect(options);
  if (!connected.ok()) {
    std::cerr << connected.status() << "\n";
    return 1;
  }
  kvd::Client& client = **connected;

  auto visits = client.Increment("example/visits", 1);
  if (!visits.ok()) {
    std::cerr << visits.status() << "\n";
    return 1;
  }
  std::cout << "visits: " << visits->counter << "\n";

  // Compare and set: only one of many can take the lock.
  kvd::WriteOptions if_absent;
  if_absent.conditions = {kvd::Condition::Absent("example/lock")};
  auto lock = client.Put("example/lock", "mine", if_absent);
  std::cout << "lock: " << (lock.ok() && lock->applied ? "taken" : "held by another") << "\n";

  // Several writes at once, or none.
  auto batch =
      client.Batch({kvd::Operation::Put("example/a", "1"), kvd::Operation::Put("example/b", "2"),
                    kvd::Operation::Delete("example/lock")});
  std::cout << "batch: " << (batch.ok() ? "applied" : "failed") << "\n";

  kvd::ScanOptions scan;
  scan.start = "example/";
  scan.end = "example0";
  for (auto scanner = client.Scan(scan);;) {
    if (!scanner->Next()) return scanner->status().ok() ? 0 : 1;
    std::cout << scanner->key() << " = " << scanner->value().bytes << "\n";
  }
}
