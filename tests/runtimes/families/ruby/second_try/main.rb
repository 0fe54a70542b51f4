marker = File.join(ENV['TMPDIR'], 'tried')
unless File.exist?(marker)
  File.write(marker, '')
  raise 'not yet'
end

def main(context)
  context.res.text('now')
end
