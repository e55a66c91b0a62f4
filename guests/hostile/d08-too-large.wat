;; A component of more than 16 MiB.
;;@frame event
;;@import
;;@times 17 (@custom "filler" "{pad 1048576}")
