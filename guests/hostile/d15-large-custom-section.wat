;; A custom section of 8 MiB.
;;@frame event
;;@import
(@custom "filler" "{pad 8388608}")
