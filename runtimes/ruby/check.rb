# frozen_string_literal: true

# Parses a function without running it:
#
#     ruby --disable-gems check.rb CODE ENTRYPOINT
#
# It reads the entrypoint and the function's own files that this requires at once by
# `require_relative`. The first that does not parse ends it with exit code 1 and Ruby's message.
# Gems are not read.

# A statement at the beginning of a line: not one that a condition or a method may skip.
REQUIRE = /^require_relative[ (]*(["'])([^"'#\n]+)\1/

code, entrypoint = ARGV
waiting = [File.join(code, entrypoint)]
$VERBOSE = nil
waiting.each do |file|
  source = File.binread(file).force_encoding(Encoding::UTF_8)
  begin
    RubyVM::InstructionSequence.compile(source, file.delete_prefix("#{code}/"), file)
  rescue SyntaxError => error
    STDERR.puts(error.message)
    exit 1
  end
  next unless source.valid_encoding?

  source.scan(REQUIRE) do |_, name|
    path = File.expand_path(name, File.dirname(file))
    found = [path, "#{path}.rb"].find { |one| one.end_with?('.rb') && File.file?(one) }
    waiting << found if found && !waiting.include?(found)
  end
end
