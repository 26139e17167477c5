<?php
header("Content-Type: text/plain; charset=utf-8");
header("Content-Length: 14");
echo "Hello, world!\n";
