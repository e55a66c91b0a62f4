;; Declares a table with 64-bit indexes and an absurd size.
;;@frame event
;;@core
(table i64 0xffffffffffff funcref)
