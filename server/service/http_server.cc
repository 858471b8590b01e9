#include "server/service/http_server.h"

#include <civetweb.h>

#include <mutex>

namespace kvd::service {

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& address, std::map<std::string, Handler> handlers) {
  static std::once_flag once;
  std::call_once(once, [] { mg_init_library(0); });
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(handlers)));
  const char* options[] = {"listening_ports",
                           address.c_str(),
                           "num_threads",
                           "2",
                           "request_timeout_ms",
                           "5000",
                           "enable_keep_alive",
                           "no",
                           nullptr};
  mg_callbacks callbacks = {};
  // What civetweb has to say of a port in use is told by the error below.
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };
  server->context_ = mg_start(&callbacks, nullptr, options);
  if (server->context_ == nullptr) {
    return absl::UnavailableError("can't listen for HTTP on " + address + ": is the port in use?");
  }
  mg_set_request_handler(server->context_, "/", &HttpServer::Handle, server.get());
  return server;
}

HttpServer::~HttpServer() {
  if (context_ != nullptr) mg_stop(context_);
}

int HttpServer::Handle(mg_connection* connection, void* self) {
  auto* server = static_cast<HttpServer*>(self);
  const mg_request_info* info = mg_get_request_info(connection);
  Response response;
  auto it = server->handlers_.find(info->local_uri);
  if (it == server->handlers_.end()) {
    response.code = 404;
    response.body = "There is nothing here. Try:";
    for (const auto& [path, unused] : server->handlers_) response.body += " " + path;
    response.body += "\n";
  } else {
    response = it->second();
  }
  mg_printf(
      connection,
      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
      response.code, response.code == 200 ? "OK" : "Not OK", response.content_type.c_str(),
      response.body.size());
  mg_write(connection, response.body.data(), response.body.size());
  return response.code;
}

}  // namespace kvd::service
