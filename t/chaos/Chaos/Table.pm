# The figures as a table, and what they come to.
package Chaos::Table;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(print_figures faults_of found);

my @claims = qw(C1 C2 C3 C4 C5);
my @columns = (
    [ 'class', 14 ], [ 'reads', 10 ], [ 'cache', 9 ], [ 'store', 9 ], [ 'lookup', 10 ], [ 'unconf', 8 ], [ '503', 8 ], [ 'acked', 9 ],
    [ 'unknown', 8 ], [ 'refused', 8 ], (map { [ $_, 4 ] } @claims), [ 'C2ev', 6 ], [ 'slowest write', 14 ],
);

# Violations of the class that count, of claims that hold in it.
sub found {
    my ($class, $figures) = @_;
    my %exempt = map { $_ => 1 } @{ $class->{exempt} // [] };
    my $count = 0;
    $count += $figures->{$_} for grep { !$exempt{$_} } @claims;
    return $count;
}

sub print_figures {
    my ($classes, $figures) = @_;
    my $line = sub { print join('', map { sprintf $_ ? '%*s' : '%-*s', $columns[$_][1], $_[$_] } 0 .. $#columns), "\n" };
    $line->(map { $_->[0] } @columns);
    for my $class (@$classes) {
        my $f = $figures->{ $class->{name} };
        my %exempt = map { $_ => 1 } @{ $class->{exempt} // [] };
        $line->($class->{name}, @$f{qw(reads cache store lookup unconfirmed unavailable acknowledged unknown refused)},
            (map { $exempt{$_} ? '-' : $f->{$_} } @claims), $exempt{C2} ? $f->{C2} : '-', "$f->{slowest_ms} ms");
    }
    return;
}

# What speaks against the run, in words.
sub faults_of {
    my ($classes, $figures, $least) = @_;
    my @faults;
    for my $class (@$classes) {
        my $f = $figures->{ $class->{name} };
        my $found = found($class, $f);
        push @faults, "$class->{name}: $found violations" if $found;
        push @faults, "$class->{name}: only $f->{reads} reads were checked, $least are asked for" if $f->{reads} < $least;
        push @faults, "$class->{name}: no write was acknowledged" if !$f->{acknowledged};
    }
    return @faults;
}

1;
