# Figures beside the bars they have to meet: a table, and a file for comparing. It must never call a bar met whose figure is
# missing.
package Bench::Bars;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;

our @EXPORT_OK = qw(bar count_missed print_bars write_bars);

# met: a code that judges the figure; undef: it is only told.
sub bar {
    my ($title, $bar, $figure, $met, $note) = @_;
    return { title => $title, bar => $bar, figure => $figure, note => $note // '',
        met => !$met ? undef : defined $figure && $met->($figure) ? JSON::PP::true : JSON::PP::false };
}

# Rows: name, bars.
sub count_missed {
    return scalar grep { defined $_->{met} && !$_->{met} } map { @{ $_->{bars} } } @_;
}

sub print_bars {
    my (@rows) = @_;
    for my $row (@rows) {
        printf "\n%-64s %10s  %-10s %-7s %s\n", $row->{name}, 'figure', 'bar', 'met', '';
        for my $bar (@{ $row->{bars} }) {
            my $figure = !defined $bar->{figure} ? '-' : $bar->{figure} =~ /^-?\d+$/ ? $bar->{figure} : sprintf '%.2f', $bar->{figure};
            printf "  %-62s %10s  %-10s %-7s %s\n", $bar->{title}, $figure, $bar->{bar},
                !defined $bar->{met} ? '' : $bar->{met} ? 'yes' : 'NOT met', $bar->{note};
        }
    }
    my $missed = count_missed(@rows);
    print "\n", $missed ? "$missed bars are missed.\n" : "All bars are met.\n";
    return;
}

# What stands in the file is the same wherever it was measured: no folders.
sub write_bars {
    my ($file, $options, @rows) = @_;
    my %told = %$options;
    delete @told{qw(build json log)};
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} JSON::PP->new->utf8->canonical->pretty->encode({ options => \%told, rows => \@rows });
    close $out or die "$file: $!\n";
    return;
}

1;
