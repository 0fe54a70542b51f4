BESIDE = 'beside'
