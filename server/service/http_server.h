// A small HTTP server for people and Prometheus: /metrics, /healthz. Its threads are civetweb's;
// the handlers must be thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct mg_context;
struct mg_connection;

namespace kvd::service {

class HttpServer {
 public:
  struct Response {
    int code = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
  };
  using Handler = std::function<Response()>;

  // Serves GET of each path on host:port. UNAVAILABLE if the port can't be had.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           std::map<std::string, Handler> handlers);
  ~HttpServer();

 private:
  explicit HttpServer(std::map<std::string, Handler> handlers) : handlers_(std::move(handlers)) {}
  static int Handle(mg_connection* connection, void* self);

  const std::map<std::string, Handler> handlers_;
  mg_context* context_ = nullptr;
};

}  // namespace kvd::service
