<?php

return 'beside';
