require 'notthereatall'

def main(context)
  context.res.empty
end
