# From rounds to rows: medians, ratios, bars and the table. It must never call a bar met whose row has a fault.
package Bench::Table;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(min);

our @EXPORT_OK = qw(judge median percentile_of print_table thousands verdict);

sub median {
    my @sorted = sort { $a <=> $b } grep { defined } @_;
    return undef unless @sorted;
    return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

# Of sorted values; percent 100: the last.
sub percentile_of {
    my ($percent, @sorted) = @_;
    return @sorted ? $sorted[ min $#sorted, int(@sorted * $percent / 100) ] : undef;
}

sub thousands {
    my $text = sprintf '%.0f', $_[0];
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
    return $text;
}

# bar: its text; met: true, false, or undef where there is none, or nothing to compare with was measured.
sub set_bar {
    my ($row, $by_name) = @_;
    my $ratio = $row->{ratio} // 0;
    return if $row->{ratio_to} && !$by_name->{ $row->{ratio_to} };
    my @bars = (
        defined $row->{p99_below} ? [ "p99 < $row->{p99_below} ms", ($row->{p99_ms} // 1e9) < $row->{p99_below} ] : (),
        defined $row->{least} ? [ sprintf('>= %.2f', $row->{least}), $ratio >= $row->{least} ] : (),
        defined $row->{most} ? [ sprintf('p99 <= x %.1f', $row->{most}), $ratio > 0 && $ratio <= $row->{most} ] : (),
    );
    ($row->{bar}, $row->{met}) = (join(', ', map { $_->[0] } @bars), !grep { !$_->[1] } @bars) if @bars;
    my $base = defined $row->{or_most} ? $by_name->{ $row->{ratio_to} }{p99_ms} // 0 : 0;
    if (defined $row->{or_most} && !$row->{met} && $base > $row->{where_above}) {
        ($row->{bar}, $row->{met}) = (sprintf('p99 <= x %.1f', $row->{or_most}), $ratio <= $row->{or_most});
    }
    $row->{met} = 0 if defined $row->{met} && (@{ $row->{faults} } || !defined $row->{rate});
    return;
}

# The medians of a row's rounds, and whether they meet its bar. Rows that others are compared with come first.
sub judge {
    my ($row, $by_name) = @_;
    my @results = @{ $row->{results} };
    for my $figure (qw(rate p50_ms p99_ms processor_us lanes_us hit_ratio)) {
        $row->{$figure} = median(map { $_->{$figure} } @results);
    }
    $row->{faults} = [ map { @{ $_->{faults} } } @results ];
    if (my $base = $row->{ratio_to} && $by_name->{ $row->{ratio_to} }) {
        my $figure = $row->{ratio_of} // 'rate';
        $row->{ratio} = median(map {
            my ($mine, $its) = ($results[$_]{$figure}, $base->{results}[$_]{$figure});
            $mine && $its ? $mine / $its : ();
        } 0 .. $#results);
        push @{ $row->{faults} }, map { "$base->{name}: $_" } @{ $base->{faults} };
    }
    set_bar($row, $by_name);
    return;
}

sub verdict {
    my ($row) = @_;
    return 'INVALID' if @{ $row->{faults} };
    return !defined $row->{met} ? '' : $row->{met} ? 'yes' : 'NO';
}

sub print_table {
    my (@table) = @_;
    my $line = "%-40s %6s %10s %8s %8s %7s %6s  %-12s %s\n";
    printf "\n$line", 'row', 'conn.', 'per second', 'p50 ms', 'p99 ms', 'CPU us', 'ratio', 'bar', 'met';
    for my $row (@table) {
        printf $line, $row->{title}, $row->{connections} // '',
            $row->{value} // (defined $row->{rate} ? thousands($row->{rate}) : '-'),
            (map { defined $row->{$_} ? sprintf('%.2f', $row->{$_}) : '' } qw(p50_ms p99_ms)),
            defined $row->{processor_us} ? sprintf('%.1f', $row->{processor_us}) : '',
            defined $row->{ratio} ? sprintf('%.2f', $row->{ratio}) : '', $row->{bar} // '', verdict($row);
    }
    for my $row (grep { @{ $_->{faults} } } @table) {
        my %seen;
        print "\n$row->{name} is invalid:\n", map { "  $_\n" } grep { !$seen{$_}++ } @{ $row->{faults} };
    }
    return;
}

1;
