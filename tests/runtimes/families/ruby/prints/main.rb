puts 'loaded'
CALLS = [0]

def main(context)
  context.res.text((CALLS[0] += 1).to_s)
end
