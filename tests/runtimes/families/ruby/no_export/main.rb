def other(context)
  context.res.empty
end
