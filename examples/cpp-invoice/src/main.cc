// Makes an invoice as PDF of a JSON order, without a library: a PDF is text and a table of offsets.
// The order is {"number": "1", "to": "Ada", "items": [{"text": "Tea", "count": 2, "price": 3.5}]}.
#include "../RuntimeContext.h"
#include "../RuntimeOutput.h"
#include "../RuntimeRequest.h"
#include "../RuntimeResponse.h"

#include "pdf.h"

#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace runtime {

class Handler {
public:
  static RuntimeOutput main(RuntimeContext &context) {
    std::vector<std::string> lines;
    try {
      lines = readOrder(context.req.bodyJson);
    } catch (const Json::Exception &) {
      return context.res.text("The order needs number, to, and items with text, count, price.\n",
                              400);
    }
    context.log("invoice: " + lines.back());
    Json::Value headers;
    headers["content-type"] = "application/pdf";
    headers["content-disposition"] = "inline; filename=\"invoice.pdf\"";
    return context.res.send(pdf::make(lines), 200, headers);
  }

private:
  /// Returns the lines of the invoice. Throws Json::Exception for another order.
  static std::vector<std::string> readOrder(const Json::Value &order) {
    std::vector<std::string> lines = {"Invoice " + member(order, "number").asString(),
                                      "To " + member(order, "to").asString(), ""};
    double total = 0;
    for (const Json::Value &item : member(order, "items")) {
      const int count = member(item, "count").asInt();
      const double sum = count * member(item, "price").asDouble();
      total += sum;
      lines.push_back(std::to_string(count) + " x " + member(item, "text").asString() + ": " +
                      money(sum));
    }
    lines.insert(lines.end(), {"", "Total: " + money(total)});
    return lines;
  }

  static const Json::Value &member(const Json::Value &object, const char *name) {
    const Json::Value *found = object.find(name, name + std::char_traits<char>::length(name));
    if (found == nullptr)
      throw Json::LogicError(std::string(name) + " is missing");
    return *found;
  }

  static std::string money(double value) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(2) << value;
    return text.str();
  }
};

} // namespace runtime
